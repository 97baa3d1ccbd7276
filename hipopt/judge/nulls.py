"""What candidates that leave the work, or the last of it, undone would leave in the buffers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from hipopt.device.interface import Fault
from hipopt.judge.execution import Arrays, Runner
from hipopt.judge.outputs import are_written, bits
from hipopt.records import Buffer, Scalar, Workload

Null = tuple[str, Arrays]
"""What the candidate does (as in "a kernel that ..."), and what it leaves."""

COPY = "copies an input"
_LARGEST_COUNT = 1 << 31
"""A larger integer scalar is no bound of a loop, but a mask or a seed."""


def idle(before: Arrays, after: Arrays) -> Iterator[Null]:
    """Candidates that compute nothing."""
    written = are_written(before, after)

    def replaced(values: Arrays) -> Arrays:
        rows = zip(written, values, before, strict=True)
        return [value if was_written else kept for was_written, value, kept in rows]

    yield "does nothing", before
    yield "writes zeros", replaced([np.zeros_like(a) for a in after])
    yield "writes ones", replaced([np.ones_like(a) for a in after])
    for source in before:
        if any(w and _fits(source, a) for w, a in zip(written, after, strict=True)):
            copied = [source[: a.size] if _fits(source, a) else a for a in after]
            yield COPY, replaced(copied)


def unfinished(workload: Workload, before: Arrays, after: Arrays) -> Iterator[Null]:
    """Candidates that leave the end of a buffer as it was."""
    blocks = int(np.prod(workload.grid))
    for index, written in enumerate(are_written(before, after)):
        if not written:
            continue
        name = workload.buffers[index].name
        places = np.flatnonzero(bits(before[index]) != bits(after[index]))
        tail = -(-places.size // blocks)
        for what, last in (("the last element", 1), ("the last block's share", tail)):
            left = list(after)
            left[index] = after[index].copy()
            left[index][places[-last:]] = before[index][places[-last:]]
            yield f"leaves {what} of '{name}' undone", left


def curtailed(
    runner: Runner, workload: Workload, before: Arrays, axes: str = "xyz"
) -> Iterator[Null]:
    """The reference itself with one block along one of the axes, or one of a counted thing, less.

    Launches that fail are left out.
    """
    for what, smaller in (*_fewer_blocks(workload, axes), *_lower_scalars(workload)):
        left = runner.run(smaller, before)
        if not isinstance(left, Fault):
            yield what, left


def _fewer_blocks(workload: Workload, axes: str) -> Iterator[tuple[str, Workload]]:
    for axis, count in enumerate(workload.grid):
        if count > 1 and "xyz"[axis] in axes:
            grid = list(workload.grid)
            grid[axis] -= 1
            fewer = msgspec.structs.replace(workload, grid=(grid[0], grid[1], grid[2]))
            yield f"drops its last block in {'xyz'[axis]}", fewer


def _lower_scalars(workload: Workload) -> Iterator[tuple[str, Workload]]:
    for index, argument in enumerate(workload.args):
        if not isinstance(argument, Scalar) or "int" not in argument.scalar:
            continue
        if 1 < argument.value < _LARGEST_COUNT:
            args: list[Buffer | Scalar] = list(workload.args)
            args[index] = msgspec.structs.replace(argument, value=argument.value - 1)
            lower = msgspec.structs.replace(workload, args=tuple(args))
            yield f"counts to one less than '{argument.name}'", lower


def _fits(source: NDArray[Any], like: NDArray[Any]) -> bool:
    return source.dtype == like.dtype and source.size >= like.size
