"""A session of instrumented code: every access to memory is looked at."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from hipopt.device.cpu import faults, observation, protocol
from hipopt.device.cpu.child import Child
from hipopt.device.cpu.compiler import lds_arrays
from hipopt.device.cpu.lines import source_line
from hipopt.device.cpu.memory import SharedBuffers
from hipopt.device.cpu.protocol import Message, Say
from hipopt.device.cpu.session import CpuSession
from hipopt.device.interface import (
    FORWARD,
    CodeObject,
    Fault,
    Launched,
    Observation,
    Schedule,
)
from hipopt.errors import DeviceError
from hipopt.records import Scalar

MAX_ROOM_BYTES = 1 << 30


class CpuMicroscopeSession(CpuSession):
    """Implements `interface.MicroscopeSession`. Open, use and close it in one thread.

    Every access through a pointer is checked to the byte: buffers, static and dynamic LDS. Local
    arrays and globals are checked where the compiler knows the object.
    """

    def __init__(self, code: CodeObject, core: int | None = None) -> None:
        super().__init__(code, core)
        self._lds_arrays = lds_arrays(code)
        self._room_bytes = 0

    def load(
        self,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        lds_bytes: int,
        args: Sequence[NDArray[Any] | Scalar],
        keep_addresses: bool = False,
        room_bytes: int = 0,
    ) -> Fault | None:
        """Lay out one launch; see `interface.MicroscopeSession`.

        Raises:
            ValueError: more room than exists between buffers.
        """
        if not 0 <= room_bytes <= MAX_ROOM_BYTES:
            raise ValueError(f"room_bytes is {room_bytes}, not 0 to {MAX_ROOM_BYTES}")
        self._room_bytes = room_bytes
        return super().load(grid, block, lds_bytes, args, keep_addresses)

    def launch(self, timeout_s: float, schedule: Schedule = FORWARD) -> Launched | Fault:
        """As `CpuSession.launch`; what an earlier launch showed is forgotten."""
        self._loaded().clear_report()
        return super().launch(timeout_s, schedule)

    def observe(self) -> Observation:
        """What the last launch did, as far as it came; see `interface.MicroscopeSession`."""
        buffers = self._loaded()
        report = observation.parse(buffers.read_report(), len(buffers.placements))
        grid, block = self._dims
        scene = observation.Scene(
            self._code.path, self._dims, buffers.placements, self._code.parameters, self._lds_arrays
        )
        return Observation(
            reaches=report.reaches,
            threads=math.prod(grid) * math.prod(block),
            busy_threads=report.busy_threads,
            barriers=observation.describe_barriers(report.barriers),
            race=observation.describe(report.race, scene, within_wave=False),
            lockstep=observation.describe(report.lockstep, scene, within_wave=True),
        )

    def _share(self, arrays: Sequence[NDArray[Any]]) -> SharedBuffers:
        return SharedBuffers(arrays, self._base, self._room_bytes, observation.REPORT_BYTES)

    def _prepare(self, child: Child, deadline: float) -> None:
        buffers = self._loaded()
        request = protocol.watch_request(
            self._next(),
            buffers.report.address,
            self._room_bytes,
            [(p.address, p.nbytes, p.itemsize) for p in buffers.placements],
            [(a.offset, a.bytes) for a in self._lds_arrays if a.bytes],
        )
        child.send(request)
        reply = self._expect(child.receive(deadline), Say.WATCHED)
        if reply.detail != 0:
            raise DeviceError(f"no memory for the microscope: {os.strerror(reply.detail)}")

    def _explain(self, message: Message) -> Fault:
        if message.say != Say.LDS_OUT_OF_BOUNDS:
            return super()._explain(message)
        line = source_line(self._code.path, message.instruction)
        place = observation.lds_place(message.address, self._lds_arrays)
        return faults.outside_lds(message, place, line)
