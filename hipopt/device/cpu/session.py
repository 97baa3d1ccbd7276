"""A session of the CPU device: one child process, loaded and launched many times."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from hipopt.device.cpu import arguments, faults, protocol
from hipopt.device.cpu.caches import evict
from hipopt.device.cpu.child import Babble, Child, Deadline, Died
from hipopt.device.cpu.lines import source_line
from hipopt.device.cpu.memory import SharedBuffers, area, random_base
from hipopt.device.cpu.protocol import Message, Say
from hipopt.device.cpu.walls import Walls, insist
from hipopt.device.interface import FORWARD, CodeObject, Fault, Launched, Schedule
from hipopt.errors import DeviceError
from hipopt.records import Scalar, Verdict

T = TypeVar("T")

START_TIMEOUT_S = 10.0
"""Longest wait for a child to start or to map its buffers."""

_BUSY = 5.0
"""Longest wait for a launch, in times of the CPU time that it may use: others may want its core."""
_LEAST_WAIT_S = 0.01

_REST_TOLERANCE_NS = 200_000
"""CPU time that a child may use after its reply: it can be preempted on its way to sleep."""


class CpuSession:
    """Implements `interface.Session`. Open, use and close it in one thread."""

    def __init__(
        self, code: CodeObject, core: int | None = None, *, allow_unsandboxed: bool = False
    ) -> None:
        self._code = code
        self._core = core
        self._allow_unsandboxed = allow_unsandboxed
        self._child: Child | None = None
        self._buffers: SharedBuffers | None = None
        self._base = random_base()
        self._dims = (1, 1, 1), (1, 1, 1)
        self._fault: Fault | None = None
        self._started = False
        self._is_used = False
        self._sequence = 0
        self._rested_ns: int | None = None
        self.walls: Walls | None = None
        """What closes the child in; None: it has not started yet."""

    def __enter__(self) -> Self:
        self._child = Child(self._code.path, self._core)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None
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
        misfit = arguments.too_large(grid, block, lds_bytes) or arguments.misfit(
            self._code.parameters, args
        )
        if misfit is not None:
            return Fault(verdict=Verdict.REJECTED, reason=misfit)
        self._free()
        if not keep_addresses:
            self._base = random_base()
        buffers = self._buffers = self._share([a for a in args if isinstance(a, np.ndarray)])
        self._dims = grid, block
        request = protocol.load_request(
            self._next(), grid, block, lds_bytes, area(buffers.placements, self._base),
            buffers.mappings, arguments.pack(args, [p.address for p in buffers.placements]),
        )  # fmt: skip
        done = self._guarded(lambda: self._load(request, buffers.fd), START_TIMEOUT_S)
        return done if isinstance(done, Fault) else None

    def _share(self, arrays: Sequence[NDArray[Any]]) -> SharedBuffers:
        return SharedBuffers(arrays, self._base)

    def launch(self, timeout_s: float, schedule: Schedule = FORWARD) -> Launched | Fault:
        """Restore all buffers, run the kernel once and time it; see `interface.Session`."""
        if self._fault is not None:
            return self._fault
        self._loaded().restore()
        reset = self._guarded(self._reset, START_TIMEOUT_S)
        if reset is not None:
            return reset
        evict()
        return self._guarded(lambda: self._launch(timeout_s, schedule), timeout_s)

    def read(self) -> list[NDArray[Any]] | Fault:
        """Copies of all buffers, or why they can't be trusted; see `interface.Session`."""
        buffers = self._loaded()
        if self._fault is not None:
            return self._fault
        moved = self._guarded(self._check_rest, START_TIMEOUT_S)
        if isinstance(moved, Fault):
            return moved
        damage = buffers.damage()
        if damage is None:
            return buffers.read()
        index, offset = damage
        number, parameter = self._pointers()[index]
        placement = buffers.placements[index]
        self._fault = faults.overwritten(parameter, number, placement, offset)
        return self._fault

    def _load(self, request: bytes, fd: int) -> None:
        child = self._running()
        deadline = time.monotonic() + START_TIMEOUT_S
        if not self._started:
            self._start(child.receive(deadline))
        child.send(request, fd)
        reply = self._expect(child.receive(deadline), Say.LOADED)
        if reply.detail != 0:
            raise DeviceError(f"the child could not map its buffers (errno {reply.detail})")
        self._prepare(child, deadline)
        self._rested_ns = child.settle(deadline)

    def _prepare(self, child: Child, deadline: float) -> None:
        """What else the child must be told before it can launch what is loaded."""

    def _start(self, hello: Message) -> None:
        if hello.say != Say.STARTED:
            raise _Reported(hello)
        self._started = True
        self.walls = Walls.of(hello.detail)
        insist(self.walls, allow_unsandboxed=self._allow_unsandboxed)

    def _reset(self) -> None:
        """Nothing of an earlier launch is left in the child."""
        if not self._is_used:
            return
        self._check_rest()
        deadline = time.monotonic() + START_TIMEOUT_S
        child = self._running()
        child.send(protocol.reset_request(self._next()))
        self._expect(child.receive(deadline), Say.RESET)
        self._rested_ns = child.settle(deadline)
        self._is_used = False

    def _launch(self, timeout_s: float, schedule: Schedule) -> Launched:
        child = self._running()
        self._check_rest()
        before_ns = child.cpu_ns()
        self._is_used = True
        child.send(protocol.launch_request(self._next(), schedule))
        self._expect(_within(child, timeout_s, before_ns), Say.DONE)
        self._rested_ns = child.settle(time.monotonic() + timeout_s)
        return Launched(time_us=(self._rested_ns - before_ns) / 1000)

    def _expect(self, message: Message, say: Say) -> Message:
        if message.say == say and message.sequence == self._sequence:
            return message
        if message.say in (Say.STARTED, Say.LOADED, Say.DONE, Say.RESET, Say.WATCHED):
            raise Babble
        raise _Reported(message)

    def _check_rest(self) -> None:
        """The child has done nothing since its last reply."""
        if self._rested_ns is None:
            return
        if self._running().cpu_ns() - self._rested_ns > _REST_TOLERANCE_NS:
            raise Babble

    def _guarded(self, action: Callable[[], T], timeout_s: float) -> T | Fault:
        """What the action returns, or the fault that its child died of."""
        try:
            return action()
        except Deadline:
            reason = f"the kernel did not finish within {timeout_s:g} s"
            self._fault = Fault(verdict=Verdict.TIMEOUT, reason=reason)
        except Died as death:
            self._fault = faults.from_exit(death.exit_code)
        except Babble:
            reason = "the kernel meddled with the process that runs it, or ran on after its end"
            self._fault = Fault(verdict=Verdict.REJECTED, reason=reason)
        except _Reported as report:
            self._fault = self._explain(report.message)
        self._running().kill()
        return self._fault

    def _explain(self, message: Message) -> Fault:
        placements = self._buffers.placements if self._buffers else ()
        line = source_line(self._code.path, message.instruction)
        return faults.from_message(message, placements, self._code.parameters, line)

    def _pointers(self) -> list[tuple[int, Any]]:
        return [(i, p) for i, p in enumerate(self._code.parameters) if p.is_pointer]

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _running(self) -> Child:
        if self._child is None:
            raise DeviceError("the session is not open: use it as a context manager")
        return self._child

    def _loaded(self) -> SharedBuffers:
        if self._buffers is None:
            raise DeviceError("nothing is loaded: call load before launch and read")
        return self._buffers

    def _free(self) -> None:
        if self._buffers is not None:
            self._buffers.close()
            self._buffers = None


def _within(child: Child, timeout_s: float, before_ns: int) -> Message:
    """The child's next message, come before it used `timeout_s` of CPU time beyond `before_ns`.

    Where other processes want the same core, that takes longer by the clock on the wall.

    Raises:
        Deadline, Died, Babble: there is none.
    """
    give_up_at = time.monotonic() + _BUSY * timeout_s
    left_s = timeout_s
    while True:
        try:
            return child.receive(min(give_up_at, time.monotonic() + left_s))
        except Deadline:
            left_s = timeout_s - (child.cpu_ns() - before_ns) / 1e9
            if left_s <= 0 or time.monotonic() >= give_up_at:
                raise
            left_s = max(left_s, _LEAST_WAIT_S)


class _Reported(Exception):
    """The child reported its end."""

    def __init__(self, message: Message) -> None:
        super().__init__(message.say.name)
        self.message = message
