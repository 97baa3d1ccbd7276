"""What a dead child's last message, or its wait status, means to a person and to a model.

Everything here is a negative verdict: a child that lies can only choose between them.
"""

from __future__ import annotations

import platform
import signal
from collections.abc import Sequence

from hipopt.device.cpu.arguments import name_of
from hipopt.device.cpu.memory import GUARD_BYTES, Placement
from hipopt.device.cpu.protocol import Message, Say
from hipopt.device.interface import Fault, Parameter
from hipopt.records import Verdict

_NULL_BYTES = 1 << 16
"""Addresses below this are a null pointer with an index or member offset."""

_CALLS = {
    "x86_64": {
        2: "open", 41: "socket", 42: "connect", 56: "clone", 57: "fork", 58: "vfork", 59: "execve",
        62: "kill", 87: "unlink", 101: "ptrace", 234: "tgkill", 257: "openat", 435: "clone3",
        77: "ftruncate", 86: "link", 82: "rename", 39: "getpid", 35: "nanosleep",
        230: "clock_nanosleep", 202: "futex", 13: "rt_sigaction", 9: "mmap", 10: "mprotect",
    },
    "aarch64": {
        56: "openat", 198: "socket", 203: "connect", 220: "clone", 221: "execve", 129: "kill",
        35: "unlinkat", 117: "ptrace", 131: "tgkill", 435: "clone3", 46: "ftruncate",
        101: "nanosleep", 115: "clock_nanosleep", 98: "futex", 134: "rt_sigaction", 222: "mmap",
        226: "mprotect",
    },
}  # fmt: skip

_OUTSIDE_OBJECT = 1
_UNDEFINED = {
    _OUTSIDE_OBJECT: "the kernel went beyond the end of an array",
    2: "an access through a pointer that is not aligned for its type",
    3: "integer division by zero or overflow",
    4: "a floating-point number was converted to an integer type that can't hold it",
    5: "unreachable code was reached",
    6: "a function that returns a value ended without one",
}

_SIGNALS = {
    signal.SIGFPE: "integer division by zero or overflow",
    signal.SIGILL: "illegal instruction, as __trap() and unreachable code execute",
    signal.SIGABRT: "it called abort, or an exception left it",
}


def from_message(
    message: Message,
    placements: Sequence[Placement],
    parameters: Sequence[Parameter],
    line: int | None = None,
) -> Fault:
    """The fault that a child reported before it ended; `line` of the capsule, where known."""
    if message.say == Say.UNDEFINED:
        line = message.address or line
    where = _where(message, line)
    if message.say == Say.OUT_OF_BOUNDS:
        return _from_hook(message, placements, parameters, where)
    if message.say == Say.UNDEFINED and message.detail == _OUTSIDE_OBJECT:
        return _fault(Verdict.OUT_OF_BOUNDS, f"{_UNDEFINED[_OUTSIDE_OBJECT]}; {where}")
    if message.say == Say.SIGNAL:
        return _from_signal(message, placements, parameters, where)
    if message.say == Say.LDS_OVERRUN:
        return _fault(
            Verdict.OUT_OF_BOUNDS,
            "the kernel touched memory behind its dynamic LDS (extern __shared__): the workload "
            f"gives it fewer bytes than it uses; block {_dim(message.block)}",
        )
    return _fault(Verdict.CRASHED, f"{_crash(message)}; {where}")


def outside_lds(message: Message, place: str, line: int | None) -> Fault:
    """The fault of an access that no array in LDS holds; `place` as a message names it."""
    size, verb = _access(message)
    return _fault(
        Verdict.OUT_OF_BOUNDS,
        f"the kernel {verb} {size} bytes outside of all arrays in LDS ({place}); "
        f"{_where(message, line)}",
    )


def from_exit(exit_code: int) -> Fault:
    """The fault of a child that ended without a word; negative codes are signals."""
    if exit_code < 0:
        number = -exit_code
        if number == signal.SIGSYS:
            return _fault(Verdict.CRASHED, "called a system call that a kernel may not call")
        name = _signal_name(number)
        return _fault(Verdict.CRASHED, f"the kernel's process died on {name}")
    return _fault(
        Verdict.CRASHED, f"the kernel ended its process with exit code {exit_code} in mid-launch"
    )


def overwritten(parameter: Parameter, index: int, placement: Placement, offset: int) -> Fault:
    """The fault of a buffer whose surroundings were written; offset as `memory.damage` gives it."""
    size = placement.nbytes // placement.itemsize
    side = (
        f"{-offset} bytes before its start"
        if offset < 0
        else f"{offset} bytes behind its end ({size} elements of {placement.dtype})"
    )
    return _fault(Verdict.OUT_OF_BOUNDS, f"{name_of(parameter, index)}: memory was written {side}")


def _where(message: Message, line: int | None) -> str:
    where = f"thread {_dim(message.thread)} of block {_dim(message.block)}"
    return where if line is None else f"line {line}, {where}"


def _access(message: Message) -> tuple[int, str]:
    """Bytes of an access that the microscope stopped, and its verb."""
    verbs = {0: "read", 1: "wrote", 2: "atomically changed"}
    return message.detail >> 8, verbs.get(message.detail & 0xFF, "touched")


def _from_hook(
    message: Message,
    placements: Sequence[Placement],
    parameters: Sequence[Parameter],
    where: str,
) -> Fault:
    size, verb = _access(message)
    if message.address < _NULL_BYTES:
        return _fault(
            Verdict.CRASHED,
            f"the kernel {verb} through a null pointer (address {message.address}); {where}",
        )
    outside = _outside(message.address, placements, parameters, size)
    if outside is None:
        outside = "memory that is neither a buffer nor LDS nor the thread's own"
    return _fault(Verdict.OUT_OF_BOUNDS, f"the kernel {verb} {outside}; {where}")


def _crash(message: Message) -> str:
    match message.say:
        case Say.FORBIDDEN_CALL:
            name = _CALLS.get(platform.machine(), {}).get(message.detail)
            call = f"{name}, number {message.detail}" if name else f"number {message.detail}"
            return f"called a system call that a kernel may not call ({call})"
        case Say.OUT_OF_MEMORY:
            return "out of memory: the kernel allocates more than its limit"
        case Say.DIVERGED_BARRIER:
            return (
                "threads of one wave wait at different barriers, "
                f"lines {message.detail} and {message.address}"
            )
        case Say.STACK_OVERFLOW:
            return "stack overflow: recursion, or local arrays beyond 256 KiB a thread"
        case Say.UNDEFINED:
            return _UNDEFINED.get(message.detail, "undefined behaviour")
        case Say.ASSERTION:
            return f"an assertion failed in line {message.detail}"
        case _:
            return "the kernel wrote to the channel of its process"


def _from_signal(
    message: Message,
    placements: Sequence[Placement],
    parameters: Sequence[Parameter],
    where: str,
) -> Fault:
    number, access = message.detail & 0xFF, message.detail >> 8
    name = _signal_name(number)
    if number not in (signal.SIGSEGV, signal.SIGBUS):
        meaning = f" ({_SIGNALS[signal.Signals(number)]})" if number in _SIGNALS else ""
        return _fault(Verdict.CRASHED, f"the kernel died on {name}{meaning}; {where}")
    verb = {1: "read", 2: "wrote"}.get(access, "touched")
    if message.address < _NULL_BYTES:
        return _fault(
            Verdict.CRASHED,
            f"{name}: the kernel {verb} through a null pointer (address {message.address}); "
            f"{where}",
        )
    outside = _outside(message.address, placements, parameters)
    if outside is None:
        return _fault(
            Verdict.CRASHED,
            f"{name}: the kernel {verb} address {message.address:#x}, near none of its buffers; "
            f"{where}",
        )
    return _fault(Verdict.OUT_OF_BOUNDS, f"the kernel {verb} {outside}; {where}")


def _outside(
    address: int,
    placements: Sequence[Placement],
    parameters: Sequence[Parameter],
    size: int = 0,
) -> str | None:
    """Where `size` bytes at the address lie beside the nearest buffer; None: near none."""
    pointers = [(i, p) for i, p in enumerate(parameters) if p.is_pointer]
    nearest = min(
        zip(placements, pointers, strict=True),
        key=lambda pair: max(pair[0].address - address, address - pair[0].end),
        default=None,
    )
    if nearest is None:
        return None
    placement, (index, parameter) = nearest
    distance = max(placement.address - address, address - placement.end)
    is_inside = placement.address <= address < placement.end
    if distance > GUARD_BYTES or (is_inside and address + size <= placement.end):
        return None
    if is_inside:
        side = f"{size} bytes of which {address + size - placement.end} are behind the end"
        return f"{side} of {_element(address, placement, index, parameter)}"
    side = (
        f"{placement.address - address} bytes before the start"
        if address < placement.address
        else f"{address - placement.end} bytes behind the end"
    )
    return f"{side} of {_element(address, placement, index, parameter)}"


def _element(address: int, placement: Placement, index: int, parameter: Parameter) -> str:
    element = (address - placement.address) // placement.itemsize
    length = placement.nbytes // placement.itemsize
    return f"{name_of(parameter, index)} (element {element} of {length} {placement.dtype} elements)"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _dim(index: tuple[int, int, int]) -> str:
    return f"({index[0]},{index[1]},{index[2]})"


def _fault(verdict: Verdict, reason: str) -> Fault:
    # The type of Fault.verdict is a Literal, which mypy can't see through a variable.
    return Fault(verdict=verdict, reason=reason)  # type: ignore[arg-type]
