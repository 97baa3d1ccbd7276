"""A session on a GPU: a child process, and a second one before a kernel is blamed.

Guarantee: a kernel gets a fault only if it faulted twice, in two children, and the GPU ran the
known-good kernel right after each; what no kernel has a part in does not count. A fault that does
not show again is the GPU's, is logged, and costs the session nothing but time. A GPU that fails the
known-good kernel raises `DeviceError`, and no kernel is blamed. Price: a fault costs three more
starts of a child. Scope: a kernel that faults often enough, if not always, is blamed for its third.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from hipopt.device.cpu.arguments import misfit, too_large
from hipopt.device.gpu import faults, telemetry
from hipopt.device.gpu.arguments import pack
from hipopt.device.gpu.attempt import Attempt, Shape, Stopped
from hipopt.device.gpu.gpu import Gpu, GpuCode
from hipopt.device.gpu.health import Health
from hipopt.device.gpu.memory import Arena, place, random_shift
from hipopt.device.interface import FORWARD, Fault, Launched, Schedule
from hipopt.errors import DeviceError
from hipopt.records import Scalar, Verdict

T = TypeVar("T")
log = logging.getLogger(__name__)


class GpuSession:
    """Implements `interface.Session`. Open, use and close it in one thread.

    Args:
        gpu: held by the caller.
        code: what runs.
        health: of that GPU.
        scrubber: `scrub.capsule()` compiled for it.
    """

    def __init__(self, gpu: Gpu, code: GpuCode, health: Health, scrubber: GpuCode) -> None:
        self._gpu = gpu
        self._code = code
        self._health = health
        self._scrubber = scrubber
        self._attempt: Attempt | None = None
        self._arena: Arena | None = None
        self._shape = Shape((1, 1, 1), (1, 1, 1), 0)
        self._args: Sequence[NDArray[Any] | Scalar] = ()
        self._packed: bytes | None = None
        self._shift = random_shift()
        self._timeout_s = 0.0
        self._is_launched = False
        self._fault: Fault | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._end()
        self._free()

    def load(
        self,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        lds_bytes: int,
        args: Sequence[NDArray[Any] | Scalar],
        keep_addresses: bool = False,
    ) -> Fault | None:
        """Lay out one launch; see `interface.Session`."""
        if self._fault is not None:
            return self._fault
        reason = too_large(grid, block, lds_bytes) or misfit(self._code.parameters, args)
        if reason is None:
            reason = self._too_much([a for a in args if isinstance(a, np.ndarray)])
        if reason is None:
            reason = self._code.refusal(math.prod(block), lds_bytes)
        if reason is not None:
            return Fault(verdict=Verdict.REJECTED, reason=reason)
        self._free()
        if not keep_addresses:
            self._shift = random_shift()
        self._arena = Arena([a for a in args if isinstance(a, np.ndarray)], self._shift)
        self._shape, self._args = Shape(grid, block, lds_bytes), args
        done = self._confirmed(self._loaded, timeout_s=0.0)
        return done if isinstance(done, Fault) else None

    def launch(self, timeout_s: float, schedule: Schedule = FORWARD) -> Launched | Fault:
        """Restore all buffers, run the kernel once and time it; see `interface.Session`."""
        if schedule != FORWARD:
            raise DeviceError("a GPU runs threads in its own order: the emulator takes schedules")
        if self._fault is not None:
            return self._fault
        self._timeout_s = timeout_s
        return self._confirmed(self._launched, timeout_s)

    def read(self) -> list[NDArray[Any]] | Fault:
        """Copies of all buffers, or why they can't be trusted; see `interface.Session`."""
        if self._fault is not None:
            return self._fault
        return self._confirmed(self._read_back, self._timeout_s)

    def _too_much(self, arrays: Sequence[NDArray[Any]]) -> str | None:
        _, needed = place([a.nbytes for a in arrays], 0)
        needed += self._gpu.flush_bytes
        if needed <= self._gpu.memory_bytes:
            return None
        return f"the launch takes {needed} bytes of the {self._gpu.memory_bytes} that the GPU has"

    def _loaded(self) -> tuple[Attempt, bytes]:
        """The attempt in use, with the launch laid out in it, and the launch's arguments."""
        if self._arena is None:
            raise DeviceError("nothing is loaded: call load before launch and read")
        if self._attempt is None:
            self._attempt = Attempt(self._gpu, self._code, self._scrubber)
            self._packed = None
        if self._packed is None:
            address = self._attempt.load(self._shape, self._arena)
            starts = [address + p.offset for p in self._arena.placements]
            self._packed = pack(self._code.layout, self._args, starts)
            self._is_launched = False
        return self._attempt, self._packed

    def _launched(self) -> Launched:
        attempt, packed = self._loaded()
        took = attempt.launch(packed, self._timeout_s)
        self._is_launched = True
        self._health.note_launch(self._code.sha256)
        clock_mhz = telemetry.clock_mhz(self._gpu)
        return Launched(time_us=took.device_us, clock_mhz=clock_mhz)

    def _read_back(self) -> list[NDArray[Any]]:
        attempt, _ = self._loaded()
        if not self._is_launched:
            self._launched()
        assert self._arena is not None  # noqa: S101 (`_loaded` has seen to it)
        attempt.read(self._arena)
        return self._arena.read()

    def _confirmed(self, action: Callable[[], T], timeout_s: float) -> T | Fault:
        """What the action returns, or the fault that it ended in twice.

        Raises:
            DeviceError: the GPU is sick, or fails twice where no kernel has a part in it.
        """
        seen: list[Stopped] = []
        while True:
            try:
                result = action()
            except Stopped as stopped:
                self._end()
                self._health.troubles += not _may_be_the_kernel(stopped)
                self._health.insist(f"{self._code.kernel} ended {stopped.describe()}")
                seen.append(stopped)
                blamed = self._blamed(seen)
            else:
                blamed = self._habitual(seen)
                if blamed is None:
                    return result
            if blamed is not None:
                return self._dead(blamed, timeout_s)

    def _dead(self, blamed: Stopped, timeout_s: float) -> Fault:
        """The kernel's fault, which ends the session."""
        self._end()
        self._fault = self._fault_of(blamed, timeout_s)
        log.info("gpu.fault", extra={"gpu": str(self._gpu), "reason": self._fault.reason})
        return self._fault

    def _blamed(self, seen: Sequence[Stopped]) -> Stopped | None:
        """What the kernel is to blame for; None: it isn't, or another attempt must show.

        Raises:
            DeviceError: twice, it can't have been the kernel.
        """
        own = [stopped for stopped in seen if _may_be_the_kernel(stopped)]
        others = [stopped for stopped in seen if not _may_be_the_kernel(stopped)]
        if len(others) > 1:
            raise DeviceError(
                f"{self._gpu} fails {others[-1].describe()}, twice, while its known-good kernel "
                "runs; others may be using it, or its memory: see what runs on it, or give hipopt "
                "others"
            )
        return own[-1] if len(own) > 1 else None

    def _habitual(self, seen: Sequence[Stopped]) -> Stopped | None:
        """What did not show again and is the kernel's all the same; None: the GPU's."""
        for stopped in seen:
            own = _may_be_the_kernel(stopped)
            if self._health.note_unconfirmed(self._code.sha256, stopped, counts=own):
                return stopped
        return None

    def _fault_of(self, stopped: Stopped, timeout_s: float) -> Fault:
        if stopped.damage is not None:
            return faults.overwritten(self._code.parameters, self._args, stopped.damage)
        assert stopped.ended is not None  # noqa: S101 (`_may_be_the_kernel`)
        if stopped.stage == "open":
            return faults.of_load(stopped.ended)
        return faults.of_launch(stopped.ended, timeout_s)

    def _end(self) -> None:
        """No child is left."""
        if self._attempt is not None:
            self._attempt.close()
            self._attempt = None
        self._packed = None
        self._is_launched = False

    def _free(self) -> None:
        self._packed = None
        self._is_launched = False
        if self._arena is not None:
            self._arena.close()
            self._arena = None


def _may_be_the_kernel(stopped: Stopped) -> bool:
    """Whether a kernel can be what stopped an attempt."""
    if stopped.ended is None:
        return stopped.damage is not None
    return stopped.stage in {"open", "launch"} and not faults.is_device(stopped.ended)
