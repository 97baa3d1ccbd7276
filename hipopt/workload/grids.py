"""Launches with other numbers of blocks than those that they are derived from."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hipopt.records import Workload
from hipopt.source.usage import Usage
from hipopt.workload.extents import BEYOND_16_BITS, LONG, thins, threads_of
from hipopt.workload.resize import grid_rule, resized, values_of
from hipopt.workload.sizes import bytes_of

_ROUNDS = 3
"""Of a loop over the grid, at least."""
_MANY = (LONG[0], LONG[2])
"""Blocks beyond 16 bits, and beyond signed ones."""
_CHEAP = 1 << 18
"""Threads."""
_FEW_MORE = 3
"""So many blocks more than threads in one."""


def many_blocks(
    axis: int, extents: Sequence[str], usage: Usage, alike: Sequence[Workload], *, from_one: bool
) -> list[Workload]:
    """Many blocks along an axis that follows no scalar; nothing where it is long already.

    Else so many that there are many threads. Where there is one block in all launches, only if
    `from_one`: that may be what the kernel is made for.
    """
    base = min(alike, key=threads_of)
    most = max(w.grid[axis] for w in alike)
    follows = grid_rule(axis, base, alike) is not None
    if (most == 1 and not from_one) or most > BEYOND_16_BITS or follows or usage.loops_by_grid:
        return []
    thin = [resized(base, {**values_of(base), **t}, alike) for t in thins(extents, base.block)]
    by_threads = (-(-long // base.block[axis]) for long in _MANY)
    counts = [n for n in (*_MANY, *by_threads) if n > most]
    return [with_blocks(launch, axis, blocks) for blocks in counts for launch in thin]


def with_a_thread_each(launches: Sequence[Workload], alike: Sequence[Workload]) -> list[Workload]:
    """With so many threads that no loop over the grid goes round, if some launch had as many."""
    axis = max(range(3), key=lambda at: alike[0].grid[at])
    if max(w.grid[axis] * w.block[axis] for w in alike) <= BEYOND_16_BITS:
        return []
    return [
        with_blocks(launch, axis, -(-LONG[0] // launch.block[axis]))
        for launch in launches
        if max(values_of(launch).values()) == LONG[0]
    ]


def more_blocks_than_threads(axis: int, usage: Usage, alike: Sequence[Workload]) -> list[Workload]:
    """More blocks along an axis than a block has threads there, and all else at its longest.

    Nothing where that is so in another launch, and where more blocks need more than their own
    number, as where each thread has one element. Where a loop steps by the grid, its step is
    beyond 16 bits, too.
    """
    base = max(alike, key=bytes_of)
    threads = base.block[axis]
    blocks = threads + _FEW_MORE
    rule = grid_rule(axis, base, alike)
    if usage.loops_by_grid:
        blocks = max(blocks, BEYOND_16_BITS // threads + _FEW_MORE)
    elif rule is not None and (len(alike) == 1 or rule.divisor != 1 or len(rule.names) != 1):
        return []
    if threads == 1 or max(w.grid[axis] for w in alike) >= blocks:
        return []
    values = values_of(base)
    if rule is not None and not usage.loops_by_grid:
        values[rule.names[0]] = blocks
    return [with_blocks(resized(base, values, alike), axis, blocks)]


def fewer_blocks(alike: Sequence[Workload]) -> list[Workload]:
    """A share of the blocks of the longest launch, along the axis that has most."""
    base = max(alike, key=threads_of)
    axis = max(range(3), key=lambda at: base.grid[at])
    blocks = base.grid[axis] // _ROUNDS
    fewer = msgspec.structs.replace(base, timed=False)
    return [with_blocks(fewer, axis, blocks)] if blocks else []


def spare_blocks(
    axis: int, usage: Usage, known: Sequence[Workload], alike: Sequence[Workload]
) -> list[Workload]:
    """Small launches with so many blocks along the axis that threads are beyond 16 bits there.

    Nothing dear where they are in some launch that is known.
    """
    if f"b{'xyz'[axis]}" not in usage.indices:
        return []
    is_long = max(w.grid[axis] * w.block[axis] for w in known) > LONG[2]
    bases = sorted(alike, key=threads_of)[:2]
    launches = (
        with_blocks(base, axis, -(-long // base.block[axis])) for base in bases for long in _MANY
    )
    return [
        msgspec.structs.replace(launch, timed=False)
        for launch in launches
        if not is_long or threads_of(launch) <= _CHEAP
    ]


def with_blocks(launch: Workload, axis: int, blocks: int) -> Workload:
    """The launch with so many blocks along the axis."""
    x, y, z = (blocks if at == axis else side for at, side in enumerate(launch.grid))
    return msgspec.structs.replace(launch, grid=(x, y, z))
