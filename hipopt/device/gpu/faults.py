"""What the end of a child means to a person and to a model, once it is the kernel's own doing."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from hipopt.device.cpu.arguments import name_of
from hipopt.device.gpu.channel import Ended
from hipopt.device.gpu.memory import Damage
from hipopt.device.interface import Fault, Parameter
from hipopt.records import Scalar, Verdict

# Errors that the HIP runtime and the CUDA driver number alike (hip_runtime_api.h, cuda.h).
OUT_OF_MEMORY = 2
ILLEGAL_ADDRESS = 700
_OUT_OF_RESOURCES = 701
_INVALID_CONFIGURATION = 9
_DEVICE = frozenset({100, 101, 214, 999})
"""No device, no such device, an uncorrectable memory error, unknown: none speaks of a kernel."""
_SAYS = {
    710: "an assertion of the kernel does not hold",
    715: "the kernel executed an illegal instruction",
    716: "an access through a pointer that is not aligned for its type",
    717: "an operation on an address space that the address is not in",
    718: "the kernel jumped to where there is no code",
}

# AMD's runtime ends the process without an error that could be read; these words are all there is.
_AMD_MEMORY_FAULT = "Memory access fault by GPU"


def is_device(ended: Ended) -> bool:
    """Whether the end speaks of the device, whatever ran on it."""
    return ended.how in {"unusable", "babble"} or (ended.how == "failed" and ended.error in _DEVICE)


def of_launch(ended: Ended, timeout_s: float) -> Fault:
    """The fault of a kernel under which its child ended."""
    if ended.how == "deadline":
        return Fault(
            verdict=Verdict.TIMEOUT, reason=f"the kernel did not finish within {timeout_s:g} s"
        )
    if ended.how == "failed":
        return _of_error(ended)
    if ended.exit_code == -signal.SIGABRT and _AMD_MEMORY_FAULT in ended.words:
        return _outside(ended)
    return Fault(verdict=Verdict.CRASHED, reason=f"under the kernel {ended.describe()}")


def of_load(ended: Ended) -> Fault:
    """The fault of a code object that the runtime does not take."""
    reason = f"the device does not load the compiled kernel: {ended.describe()}"
    return Fault(verdict=Verdict.REJECTED, reason=reason)


def overwritten(
    parameters: Sequence[Parameter], args: Sequence[NDArray[Any] | Scalar], damage: Damage
) -> Fault:
    """The fault of a kernel that wrote beside a buffer."""
    buffers = [(n, arg) for n, arg in enumerate(args) if not isinstance(arg, Scalar)]
    if not buffers:
        where = "memory beside the launch's arguments was written"
        return Fault(verdict=Verdict.OUT_OF_BOUNDS, reason=where)
    number, array = buffers[damage.buffer]
    side = (
        f"{-damage.offset} bytes before its start"
        if damage.offset < 0
        else f"{damage.offset} bytes behind its end ({array.size} elements of {array.dtype.name})"
    )
    name = name_of(parameters[number], number)
    return Fault(verdict=Verdict.OUT_OF_BOUNDS, reason=f"{name}: memory was written {side}")


def _of_error(ended: Ended) -> Fault:
    if ended.error == ILLEGAL_ADDRESS:
        return _outside(ended)
    if ended.error in {_INVALID_CONFIGURATION, _OUT_OF_RESOURCES}:
        reason = f"the device can't launch the kernel in this shape: {ended.describe()}"
        return Fault(verdict=Verdict.REJECTED, reason=reason)
    says = _SAYS.get(ended.error)
    reason = f"{says}: {ended.describe()}" if says else f"the launch failed: {ended.describe()}"
    return Fault(verdict=Verdict.CRASHED, reason=reason)


def _outside(ended: Ended) -> Fault:
    reason = f"the kernel touched memory far outside its buffers: {ended.describe()}"
    return Fault(verdict=Verdict.OUT_OF_BOUNDS, reason=reason)
