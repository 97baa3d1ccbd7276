"""What the judge asks of a device: compile a capsule, open a session, launch, read back.

A device runs candidates in disposable child processes of ours. Bad kernels come back as values
(`CompileFailure`, `Fault`); exceptions (`DeviceError`) mean that our side failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, runtime_checkable

from numpy.typing import NDArray

from hipopt.records import Record, Resources, Scalar, Verdict
from hipopt.source.capsule import Capsule

DeviceName = Literal["cpu", "amd", "nvidia"]


class DeviceDescription(Record, frozen=True, kw_only=True):
    """What a device is, for records and prompts."""

    kind: DeviceName
    name: str
    """As the vendor names it, e.g. the CPU's model."""
    arch: str
    """E.g. `gfx942`; `x86_64` for the emulator."""
    wave_size: int
    toolchain: str
    """The compiler with its version."""
    emulated: bool
    """True: times are CPU time of the emulator and say nothing about a GPU."""
    peak_bandwidth_gb_s: float | None = None
    """10^9 bytes a second that its memory can take at the very best; None: not known. A time below
    what that allows is refused as impossible, so where in doubt it is too high."""


class Parameter(Record, frozen=True, kw_only=True):
    """One kernel argument as the compiled code has it."""

    is_pointer: bool
    size: int
    """Bytes of the argument itself (8 for a pointer)."""
    name: str | None = None
    """As the source names it; None where that is not known."""


class CodeObject(Record, frozen=True, kw_only=True):
    """A compiled kernel, ready to be opened."""

    path: Path
    sha256: str
    """Hash of everything that went into it: source, kernel, template arguments, flags, compiler."""
    parameters: tuple[Parameter, ...]
    resources: Resources
    compile_seconds: float
    """Wall seconds; 0.0 when it came from the cache."""
    objections: tuple[str, ...] = ()
    """What the compiled code shows that no kernel may hold, one sentence each: calls to the host's
    libraries, code outside of a launch. A candidate may have only those of its reference."""

    def resources_at(self, threads: int, lds_bytes: int) -> Resources:  # noqa: ARG002
        """The resources when launched in blocks of `threads` with so much dynamic LDS.

        Of a device that knows no occupancy always the same.
        """
        return self.resources

    def refusal(self, threads: int, lds_bytes: int) -> str | None:  # noqa: ARG002
        """Why it can't be launched in blocks of `threads` with so much dynamic LDS; None: it can.

        Of a device that has no limits of its own always None.
        """
        return None


class CompileFailure(Record, frozen=True, kw_only=True):
    """The compiler refused the source, or took too long."""

    verdict: Literal[Verdict.COMPILE_ERROR, Verdict.TIMEOUT]
    output: str
    """Errors with line numbers of the capsule, paths shortened to the file's name."""


class Fault(Record, frozen=True, kw_only=True):
    """A launch that did not end well. The session is dead after it."""

    verdict: Literal[Verdict.CRASHED, Verdict.TIMEOUT, Verdict.OUT_OF_BOUNDS, Verdict.REJECTED]
    reason: str
    """One sentence, fit for a person and a model: which signal or deadline, which buffer."""


Direction = Literal["forward", "reverse", "shuffled"]
Rounding = Literal["nearest", "up", "down", "zero"]


class Schedule(Record, frozen=True, kw_only=True):
    """How the emulator runs what a GPU may run in any order. A GPU takes only the default."""

    threads: Direction = "forward"
    """Order of a block's waves and of the lanes in a wave."""
    blocks: Direction = "forward"
    seed: int = 0
    """Of the shuffles."""
    rounding: Rounding = "nearest"
    """How floating-point results are rounded; the others show how far rounding carries."""


FORWARD = Schedule()


class Launched(Record, frozen=True, kw_only=True):
    """A launch that ended by itself."""

    time_us: float
    """Time of this launch; of the emulator CPU time, measured from outside the child."""
    clock_mhz: float | None = None
    """Of the device right after it; None: the device does not tell."""


class Session(Protocol):
    """A disposable child process with one code object loaded.

    What comparisons of times rest on, on every device:

    - A launch starts cold. Its buffers are rewritten right before it, and then so much other
      memory is gone through that nothing of them is left in the caches nearest to the cores: a
      GPU's session writes a buffer of twice the last-level cache on the same stream.
    - Nothing but the kernel is timed: a GPU's session waits until restoring and flushing are done,
      and takes the device's own time stamps around the kernel.
    - Two sessions never have the same memory, so that fresh sessions lie at other addresses.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Kill the child's whole process group, free its memory."""

    def load(
        self,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        lds_bytes: int,
        args: Sequence[NDArray[Any] | Scalar],
        keep_addresses: bool = False,
    ) -> Fault | None:
        """Lay out one launch: arrays become guarded device buffers holding their content.

        May be called again with other shapes. The emulator puts them at addresses that it draws
        afresh, unless they are to be kept: then buffers of the same sizes as before lie where they
        lay. `Fault` with `REJECTED` where the arguments do not fit the code object's parameters.
        """

    def launch(self, timeout_s: float, schedule: Schedule = FORWARD) -> Launched | Fault:
        """Put the loaded content back into every buffer, run the kernel once, time it alone.

        A launch that takes longer than `timeout_s` (on the CPU device: of CPU time) ends with a
        `Fault` with `TIMEOUT`.
        """

    def read(self) -> list[NDArray[Any]] | Fault:
        """Copies of all buffers as the last launch left them, in argument order.

        `Fault` with `OUT_OF_BOUNDS` where a guard zone around a buffer was written.
        """


class Device(Protocol):
    """A place where kernels are compiled and run."""

    def describe(self) -> DeviceDescription:
        """What this device is."""

    def compile(
        self, capsule: Capsule, template: tuple[str, ...], timeout_s: float
    ) -> CodeObject | CompileFailure:
        """The capsule's kernel compiled, from the cache where it was compiled before."""

    def open(self, code: CodeObject) -> Session:
        """A fresh child process that will run `code`, and nothing else."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold one unit of the device alone: a GPU, or a core for the emulator; waits for it."""


class Reach(Record, frozen=True, kw_only=True):
    """How far a kernel went through one pointer, in bytes from the buffer's start.

    (lowest byte, byte behind the highest); None: it never did.
    """

    read: tuple[int, int] | None
    written: tuple[int, int] | None


class Conflict(Record, frozen=True, kw_only=True):
    """Two accesses to the same bytes, at least one a write, that nothing orders."""

    reason: str
    """One sentence: what, where (LDS or which argument and element), threads, blocks, lines."""
    within_wave: bool
    """True: both threads are lanes of one wave, so that lockstep may order them on hardware."""


class Observation(Record, frozen=True, kw_only=True):
    """What the microscope saw of one launch."""

    reaches: tuple[Reach, ...]
    """One for each pointer argument, in order."""
    threads: int
    busy_threads: int
    """Threads that wrote to a buffer, or took part by an atomic operation."""
    race: Conflict | None
    """The first conflict between waves or blocks."""
    lockstep: Conflict | None
    """The first conflict within a wave."""
    barriers: str | None = None
    """Which barriers the waves of a block met at, where they were not at the same one.

    Hardware counts waves at a barrier and goes on; the language leaves it undefined.
    """


class MicroscopeSession(Session, Protocol):
    """A session of an instrumented kernel: every access to memory is looked at."""

    def load(
        self,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        lds_bytes: int,
        args: Sequence[NDArray[Any] | Scalar],
        keep_addresses: bool = False,
        room_bytes: int = 0,
    ) -> Fault | None:
        """As `Session.load`. Accesses up to `room_bytes` beyond a buffer's ends count as reach.

        They read zeros, and what they write is lost; they are no faults.
        """

    def observe(self) -> Observation:
        """What the last launch did; also of one that ended in a fault, as far as it came."""


@runtime_checkable
class Microscope(Protocol):
    """A device that can also look into a kernel: the emulator, whatever runs the kernels."""

    def compile(
        self, capsule: Capsule, template: tuple[str, ...], timeout_s: float
    ) -> CodeObject | CompileFailure:
        """As `Device.compile`, plain."""

    def open(self, code: CodeObject) -> Session:
        """As `Device.open`; launches take any schedule."""

    def exclusive(self) -> AbstractContextManager[None]:
        """As `Device.exclusive`: hold one core alone; waits for it."""

    def compile_instrumented(
        self, capsule: Capsule, template: tuple[str, ...], timeout_s: float
    ) -> CodeObject | CompileFailure:
        """Compiled with AddressSanitizer's and UndefinedBehaviorSanitizer's instrumentation."""

    def open_instrumented(self, code: CodeObject) -> MicroscopeSession:
        """A fresh child process that will run instrumented `code`."""
