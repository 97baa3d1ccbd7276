"""What goes into a kernel's buffers before a launch: the declared fill, or poison."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from hipopt.records import Buffer, DType, Workload

POISONS = (0x7B, 0xFB)
"""Bytes that poisoned buffers are filled with: large finite values of either sign in every float
type, so that an output left unwritten is far from anything that a kernel computes, and equals
itself (a NaN pattern would agree with a NaN that the kernel should have written)."""


def numpy_dtype(name: DType) -> np.dtype[Any]:
    """The numpy dtype of a workload's dtype name."""
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def fill_workload(workload: Workload, seed: int) -> list[NDArray[Any]]:
    """One 1-D array for each buffer, in argument order.

    The same `seed` gives the same content; each buffer draws from a stream of its own, so that a
    change to one argument leaves the others as they were.
    """
    return [
        fill_buffer(argument, np.random.default_rng([seed, index]))
        for index, argument in enumerate(workload.args)
        if isinstance(argument, Buffer)
    ]


def fill_buffer(buffer: Buffer, rng: np.random.Generator) -> NDArray[Any]:
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
            return rng.integers(0, buffer.below or buffer.length, buffer.length).astype(dtype)
        case "normal":
            return _normal(buffer.length, dtype, rng)
        case "uniform":
            return _uniform(buffer, dtype, rng)
        case "sorted":
            return np.sort(_uniform(buffer, dtype, rng))


def poisoned(like: NDArray[Any], byte: int) -> NDArray[Any]:
    """An array like `like` with every byte `byte`."""
    return np.full(like.nbytes, byte, np.uint8).view(like.dtype)


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype == np.dtype(ml_dtypes.bfloat16)


def _normal(length: int, dtype: np.dtype[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Mean 0 and deviation 1; integers are spread over +-100, unsigned ones over 0 to 100."""
    values = rng.standard_normal(length)
    if _is_float(dtype):
        return values.astype(dtype)
    if dtype.kind == "b":
        return values > 0
    spread = np.clip(np.rint(values * 32), -100, 100)
    return (np.abs(spread) if dtype.kind == "u" else spread).astype(dtype)


def _uniform(buffer: Buffer, dtype: np.dtype[Any], rng: np.random.Generator) -> NDArray[Any]:
    """From `low` up to below `high`: 0 to 1, and for integers 0 to 100, where nothing is said."""
    if dtype.kind == "b":
        return rng.random(buffer.length) < 0.5
    low = 0.0 if buffer.low is None else buffer.low
    width = 1.0 if _is_float(dtype) else 100.0
    high = low + width if buffer.high is None else buffer.high
    if _is_float(dtype):
        return rng.uniform(low, high, buffer.length).astype(dtype)
    return rng.integers(int(low), int(high), buffer.length).astype(dtype)
