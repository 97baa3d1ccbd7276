"""A launch's arguments: checked against the kernel's parameters and packed as it reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from hipopt.device.cpu.protocol import MAX_ARGUMENT_BYTES, MAX_BUFFERS, SLOT_BYTES
from hipopt.device.interface import Parameter
from hipopt.records import DType, Scalar

MAX_THREADS = 1024
MAX_GRID = 2**31 - 1
MAX_LDS_BYTES = 160 << 10


def numpy_dtype(name: DType) -> np.dtype[Any]:
    """The numpy dtype of that name; bfloat16 is ml_dtypes'."""
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def too_large(
    grid: tuple[int, int, int], block: tuple[int, int, int], lds_bytes: int
) -> str | None:
    """Why no kernel can be launched in this shape; None where one can."""
    if math.prod(block) > MAX_THREADS or min(block) < 1:
        return f"block {block} has not 1 to {MAX_THREADS} threads"
    if not all(1 <= side <= MAX_GRID for side in grid):
        return f"grid {grid} has a side beyond 1 to {MAX_GRID}"
    if not 0 <= lds_bytes <= MAX_LDS_BYTES:
        return f"{lds_bytes} bytes of dynamic LDS, at most {MAX_LDS_BYTES} exist"
    return None


def misfit(parameters: Sequence[Parameter], args: Sequence[NDArray[Any] | Scalar]) -> str | None:
    """Why the kernel can't be called with these arguments; None where it can."""
    if len(parameters) != len(args):
        return f"the kernel takes {len(parameters)} arguments, the workload has {len(args)}"
    if len(args) > MAX_BUFFERS:
        return f"the kernel takes {len(args)} arguments; at most {MAX_BUFFERS} are supported"
    if SLOT_BYTES * len(args) > MAX_ARGUMENT_BYTES:
        return "the arguments take too much room"
    for index, (parameter, arg) in enumerate(zip(parameters, args, strict=True)):
        reason = _misfit(parameter, arg)
        if reason is not None:
            return f"{name_of(parameter, index)}: {reason}"
    return None


def name_of(parameter: Parameter, index: int) -> str:
    """The argument as a message names it: number from 1, and its name where that is known."""
    return f"argument {index + 1}" + (f" '{parameter.name}'" if parameter.name else "")


def _misfit(parameter: Parameter, arg: NDArray[Any] | Scalar) -> str | None:
    if not isinstance(arg, Scalar):
        if parameter.is_pointer:
            return None
        return f"the kernel takes a value of {parameter.size} bytes, the workload has a buffer"
    if parameter.is_pointer:
        return f"the kernel takes a pointer, the workload has a {arg.scalar}"
    size = numpy_dtype(arg.scalar).itemsize
    if size != parameter.size:
        return f"the kernel takes {parameter.size} bytes, the workload's {arg.scalar} has {size}"
    try:
        pack_scalar(arg)
    except (OverflowError, ValueError) as error:
        return f"{arg.value} is no {arg.scalar}: {error}"
    return None


def pack_scalar(scalar: Scalar) -> bytes:
    """The scalar's bytes.

    Raises:
        OverflowError: the value does not fit its type.
    """
    dtype = numpy_dtype(scalar.scalar)
    value = scalar.value if dtype.kind in "fV" else int(scalar.value)
    with np.errstate(over="ignore"):
        return (
            np.array([value]).astype(dtype).tobytes()
            if dtype.kind in "fV"
            else (np.array([value], dtype=dtype).tobytes())
        )


def pack(args: Sequence[NDArray[Any] | Scalar], addresses: Sequence[int]) -> bytes:
    """All arguments, each in its slot; buffers as the given addresses, in order."""
    pointers = iter(addresses)
    values = (
        pack_scalar(a) if isinstance(a, Scalar) else next(pointers).to_bytes(8, "little")
        for a in args
    )
    return b"".join(v.ljust(-(-len(v) // SLOT_BYTES) * SLOT_BYTES, b"\0") for v in values)
