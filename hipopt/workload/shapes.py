"""Launches with blocks of another shape, for kernels that ask for their block's sides.

Where blocks are squares, a side mistaken for the other shows in none of them; where one scalar is
both sides of a square of data, no index is ever long; and more blocks than 16 bits count are too
dear as long as blocks are large. A thread of the kernel must be alone: it shares no LDS, waits for
no other and asks none. So must a candidate's, as others may be made for the shape of block that
they are told of first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from hipopt.records import Workload
from hipopt.source.atoms import index_atoms
from hipopt.source.capsule import Capsule
from hipopt.source.usage import Usage
from hipopt.workload.extents import LONG, thins, threads_of
from hipopt.workload.grids import with_blocks
from hipopt.workload.resize import resized, values_of

_TOGETHER = re.compile(
    r"__shared__|HIP_DYNAMIC_SHARED|__sync|__shfl|__ballot|__any|__all\b|__activemask|__builtin_amdgcn"
    r"|\.\s*sync\s*\(|\bsync\s*\(|tiled_partition|__launch_bounds__|\basm\b|warpSize"
)
"""What threads of a block share, or that says how many there are."""
_NARROW = 4
"""Threads of a block along an axis that has more blocks than 16 bits count."""


def takes_any_block(capsule: Capsule) -> bool:
    """Whether the kernel's threads are alone, and it asks for its block's sides."""
    return not _TOGETHER.search(capsule.source) and _names(capsule, "dx", "dy", "dz")


def suits(
    launch: Workload, others: Sequence[Workload], reference: Capsule, candidate: Capsule
) -> bool:
    """Whether a candidate has to be right on the launch.

    It may be made for the shapes of block of what is timed; and, where it asks for the grid's size
    and the reference doesn't, for grids that cover the data and no more.
    """
    timed = [other for other in others if other.timed]
    if launch.timed or not timed:
        return True
    if launch.block not in {other.block for other in timed} and not takes_any_block(candidate):
        return False
    return not _is_spare(launch, timed) or asks_for_grid(reference) or not asks_for_grid(candidate)


def asks_for_grid(capsule: Capsule) -> bool:
    """Whether the kernel's results may depend on the number of blocks."""
    return _names(capsule, "gx", "gy", "gz")


def _names(capsule: Capsule, *atoms: str) -> bool:
    return not set(atoms).isdisjoint(index_atoms(capsule.source))


def _is_spare(launch: Workload, others: Sequence[Workload]) -> bool:
    """Whether it has more threads for the same data than another."""
    return any(o.args == launch.args and threads_of(o) < threads_of(launch) for o in others)


def other_shapes(
    usage: Usage, extents: Sequence[str], alike: Sequence[Workload]
) -> Iterator[tuple[str, list[Workload]]]:
    """Launches with blocks of other shapes, with why they are worth a look, cheap ones first."""
    by_size = sorted(alike, key=threads_of)
    x, _, z = by_size[0].block
    if {"dx", "dy"} <= usage.indices and x > 1 and all(w.block == (x, x, z) for w in alike):
        oblongs = ((x, x // 2, z), (x // 2, x, z))
        halves = [_in_blocks(launch, block) for launch in by_size for block in oblongs]
        yield "blocks are no squares", halves
        for axis in range(2):
            if max(w.grid[axis] * w.block[axis] for w in alike) < LONG[2]:
                lines = _lines(axis, extents, by_size[0], alike)
                yield f"blocks are lines along {'xy'[axis]} and threads are beyond 16 bits", lines
    for axis, name in enumerate("xyz"):
        if {f"b{name}", f"d{name}"} <= usage.indices and not usage.loops_by_grid:
            narrow = _narrow(axis, by_size[0])
            yield f"blocks are narrow and their number along {name} is beyond 16 bits", narrow


def _narrow(axis: int, base: Workload) -> list[Workload]:
    """The launch with many blocks of a few threads along the axis; nothing where it is narrow."""
    if base.block[axis] <= _NARROW:
        return []
    x, y, z = (_NARROW if at == axis else side for at, side in enumerate(base.block))
    launch = msgspec.structs.replace(base, block=(x, y, z), timed=False)
    return [with_blocks(launch, axis, blocks) for blocks in (LONG[0], LONG[2])]


def _lines(
    axis: int, extents: Sequence[str], base: Workload, alike: Sequence[Workload]
) -> list[Workload]:
    """Launches with all threads along one axis, scalars small."""
    side = base.block[0] * base.block[1]
    block = (side, 1, base.block[2]) if axis == 0 else (1, side, base.block[2])
    small = [
        resized(base, {**values_of(base), **thin}, alike) for thin in thins(extents, base.block)
    ]
    grids = [(blocks, 1, 1) if axis == 0 else (1, blocks, 1) for blocks in (
        -(-LONG[0] // side), -(-LONG[2] // side)
    )]  # fmt: skip
    return [
        msgspec.structs.replace(launch, grid=grid, block=block)
        for grid in grids
        for launch in small
    ]


def _in_blocks(launch: Workload, block: tuple[int, int, int]) -> Workload:
    """The launch with the same threads in other blocks."""
    x, y, z = (g * was // now for g, was, now in zip(launch.grid, launch.block, block, strict=True))
    return msgspec.structs.replace(launch, grid=(x, y, z), block=block, timed=False)
