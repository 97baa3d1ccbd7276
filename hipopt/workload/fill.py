"""What goes into a kernel's buffers before a launch: the declared fill, or poison.

Every fill comes in families (`families.py`): a seed determines which, and all else that is drawn.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from hipopt.records import FAMILIES, Buffer, DType, Family, Workload
from hipopt.workload.families import Range, draw, draw_normal

POISONS = (0x7B, 0xFB)
"""Bytes that poisoned buffers are filled with: large finite values of either sign in every float
type, so that an output left unwritten is far from anything that a kernel computes, and equals
itself (a NaN pattern would agree with a NaN that the kernel should have written)."""


def family_of(seed: int) -> Family:
    """The family that a seed draws from."""
    return FAMILIES[seed // len(POISONS) % len(FAMILIES)]


def poison_of(seed: int) -> int:
    """The byte that a seed poisons outputs with."""
    return POISONS[seed % len(POISONS)]


def numpy_dtype(name: DType) -> np.dtype[Any]:
    """The numpy dtype of a workload's dtype name."""
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def fill_workload(
    workload: Workload, seed: int, family: Family | None = None
) -> list[NDArray[Any]]:
    """One 1-D array for each buffer, in argument order; of the seed's own family unless told.

    The same `seed` gives the same content; each buffer draws from a stream of its own, so that a
    change to one argument leaves the others as they were.
    """
    family = family or family_of(seed)
    return [
        fill_buffer(argument, np.random.default_rng([seed, index]), family)
        for index, argument in enumerate(workload.args)
        if isinstance(argument, Buffer)
    ]


def fill_buffer(
    buffer: Buffer, rng: np.random.Generator, family: Family = "ordinary"
) -> NDArray[Any]:
    """The buffer's content, shape `(length,)`, in its dtype."""
    dtype = numpy_dtype(buffer.buffer)
    match buffer.fill:
        case "zeros":
            return np.zeros(buffer.length, dtype)
        case "ones":
            return np.ones(buffer.length, dtype)
        case "iota":
            return np.arange(buffer.length).astype(dtype)
        case "index":
            return draw(buffer.length, _indices(buffer, dtype), rng, family)
        case "normal":
            return draw_normal(buffer.length, dtype, rng, family)
        case "uniform":
            return draw(buffer.length, _range(buffer, dtype), rng, family)
        case "sorted":
            return np.sort(draw(buffer.length, _range(buffer, dtype), rng, family))


def poisoned(like: NDArray[Any], byte: int) -> NDArray[Any]:
    """An array like `like` with every byte `byte`."""
    return np.full(like.nbytes, byte, np.uint8).view(like.dtype)


def _indices(buffer: Buffer, dtype: np.dtype[Any]) -> Range:
    """0 up to below `below`; what the type can't hold is left out."""
    return Range(dtype, 0, buffer.below or buffer.length, of_indices=True)


def _range(buffer: Buffer, dtype: np.dtype[Any]) -> Range:
    """From `low` up to below `high`: 0 to 1, and for integers 0 to 100, where nothing is said."""
    is_float = dtype.kind not in "iub"
    width = 1.0 if is_float else 100.0
    low = min(0.0, (buffer.high or width) - width) if buffer.low is None else buffer.low
    high = low + width if buffer.high is None else buffer.high
    return Range(dtype, low, high) if is_float else Range(dtype, int(low), int(high))
