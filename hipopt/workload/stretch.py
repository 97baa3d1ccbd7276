"""Launches with one extent beyond 16 bits, derived from launches that count.

An index held in too narrow a type shows only where it exceeds that type. Each integer scalar that
the kernel counts up to is once made longer than 65,536, or 32,768 where that is too dear, while the
others are a few, so that a launch stays cheap. Blocks keep their shape: candidates may be made for
it.

The size of the grid mistaken for that of a block shows only where there are more blocks than
threads in one: one more launch has them.
"""

from __future__ import annotations

import itertools
import math
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from hipopt.device.interface import CompileFailure, Microscope
from hipopt.records import Buffer, Workload
from hipopt.source.capsule import Capsule
from hipopt.source.usage import Body, Usage
from hipopt.workload.case import Counts
from hipopt.workload.resize import grid_rule, resized, values_of
from hipopt.workload.sizes import bytes_of
from hipopt.workload.templates import template_values
from hipopt.workload.trace import Build, Sight, Tracer
from hipopt.workload.types import ArgumentType, Types

BEYOND_16_BITS = 65_536
LONG = (70_001, 69_632, 33_001)
"""The long extent: no multiple of any block, else a multiple of most, else beyond signed 16 bits
alone."""
_ROUNDS = 3
"""Of a loop over the grid, at least."""
_FEW_MORE = 3
"""So many blocks more than threads in one."""
_THIN = (3, 2)
"""The first other extents, in order; further ones are 1."""
_LONGEST_SIDE = 32
"""Of a block that other extents may be as long as."""
_LATE = "did not finish"
"""What a fault says of a launch that took too long."""
MAX_THREADS = 5 << 18
MAX_UNORDERED_THREADS = 33 << 17
"""Of kernels without barriers: such threads cost the emulator a tenth."""
MAX_BUFFER_BYTES = 8 << 20
"""Of all buffers together."""
_BARRIER = re.compile(r"__sync(?:threads|warp)|s_barrier|\bsync\s*\(|__shfl|__ballot|__any|__all")
_PURPOSE = (
    ", for candidates to be checked on, not timed; found from the other workloads; buffers as long "
    "as was reached"
)


class StretchOptions(NamedTuple):
    """How long stretching may take, and what may come of it."""

    budget_s: float = 30.0
    """Wall seconds for one kernel, compiling apart; about a thirtieth on a machine at rest."""
    launch_timeout_s: float = 1.5
    """Longest launch under the microscope."""
    max_late: int = 3
    """Launches that may take longer before no more are looked at."""
    compile_timeout_s: float = 60.0


class Stretched(NamedTuple):
    """A launch that is long in one extent."""

    workload: Workload
    reason: str
    """Which extent, and why."""


def stretch(
    capsule: Capsule, microscope: Microscope, workloads: Sequence[Workload], counts: Counts,
    options: StretchOptions | None = None, *, guessed: bool = False,
) -> tuple[Stretched, ...]:  # fmt: skip
    """Launches on which a verdict counts, each long in another extent; candidates aren't timed on.

    Args:
        capsule: the kernel.
        microscope: where launches are traced.
        workloads: launches that count.
        counts: the last word on a launch that ran well.
        options: how long to look.
        guessed: whether the grids are hipopt's own, so that a loop over one may go round.
    """
    if not workloads or not all(w.timed for w in workloads):
        return ()
    options = options or StretchOptions()
    template = workloads[0].template
    alike = [w for w in workloads if w.template == template]
    body = Body(capsule)
    types = types_of(capsule, template)
    code = microscope.compile_instrumented(capsule, template, options.compile_timeout_s)
    if types is None or isinstance(code, CompileFailure):
        return ()
    deadline = time.monotonic() + options.budget_s
    found: list[Stretched] = []
    late = 0
    with Tracer(microscope, code, types, options.launch_timeout_s) as tracer:
        for reason, launches in _proposals(body, alike, guessed=guessed):
            most = _most_threads(body)
            for launch in launches:
                if time.monotonic() > deadline or late == options.max_late:
                    return tuple(found)
                if _threads(launch) > most or bytes_of(launch) > MAX_BUFFER_BYTES:
                    continue
                sight = tracer.trace(build_of(launch), {b.name: b.length for b in launch.buffers})
                long = _at_least(sight.workload, launch)
                if _is_well(sight) and counts(long) is None:
                    found.append(Stretched(long, f"{reason}{_PURPOSE}"))
                    break
                if _LATE in sight.reason:
                    most = _threads(launch) // 2
                    late += 1
    return tuple(found)


def types_of(capsule: Capsule, template: tuple[str, ...]) -> list[ArgumentType] | None:
    """The types of the kernel's arguments; None where a workload can't hold one."""
    body = Body(capsule)
    names, _ = template_values(body.capsule, template)
    known = Types(body.file.pieces)
    found = [known.of(p, names) for p in body.capsule.parameters]
    types = [kind for kind in found if not isinstance(kind, str)]
    return types if len(types) == len(found) else None


def _at_least(reached: Workload, launch: Workload) -> Workload:
    """Buffers as long as was reached, or as the other launches' are for their scalars.

    How far data reach that index others depends on the draw.
    """
    lengths = {b.name: max(b.length, r.length) for b, r in zip(
        launch.buffers, reached.buffers, strict=True
    )}  # fmt: skip
    return build_of(reached)(lengths)


def _is_well(sight: Sight) -> bool:
    fits = bytes_of(sight.workload) <= MAX_BUFFER_BYTES
    return sight.trouble is None and sight.race is None and fits


def _most_threads(body: Body) -> int:
    """Threads that a launch may have so that it stays cheap."""
    return MAX_THREADS if _BARRIER.search(body.capsule.source) else MAX_UNORDERED_THREADS


def _proposals(
    body: Body, alike: Sequence[Workload], *, guessed: bool
) -> Iterator[tuple[str, list[Workload]]]:
    """Launches by the reason why they are worth a look, likeliest first.

    For each scalar that is long in no workload yet, those that make it so; scalars that an index is
    compared with come first. Blocks and coverage are those of the other launches.
    """
    usage = body.usage
    extents = _extents(usage, alike, guessed=guessed)
    base = min(alike, key=_threads)
    if guessed and usage.loops_by_grid:
        yield "fewer blocks, so that loops over the grid go round", _fewer_blocks(alike)
    for name in sorted(extents, key=lambda n: n not in usage.bounds):
        if max(values_of(w)[name] for w in alike) <= BEYOND_16_BITS:
            thin = _thins([e for e in extents if e != name], base.block)
            sizes = [{**t, name: long} for long, t in itertools.product(LONG, thin)]
            launches = [resized(base, {**values_of(base), **s}, alike) for s in sizes]
            yield f"'{name}' is beyond 16 bits and other extents are small", launches
            if usage.loops_by_grid:
                whole = _with_a_thread_each(launches, alike)
                yield f"'{name}' is beyond 16 bits and a thread stands for each", whole
    for axis in range(3):
        alone = guessed and f"b{'xyz'[axis]}" in usage.indices
        many = _many_blocks(axis, extents, usage, alike, from_one=alone)
        yield f"the number of blocks or threads along {'xyz'[axis]} is beyond 16 bits", many
    for axis in range(3):
        more = _more_blocks_than_threads(axis, usage, alike)
        yield f"more blocks than threads in one along {'xyz'[axis]}", more


def _extents(usage: Usage, alike: Sequence[Workload], *, guessed: bool) -> list[str]:
    """The scalars that are counted up to, and of which it is clear what follows them.

    In guessed launches, also those that change from size to size.
    """
    counted = set(usage.bounds) | set(usage.strides) | usage.trips | usage.divisors
    base = values_of(alike[0])
    known = {name: tuple(values_of(w).get(name) for w in alike) for name in base}
    grows = {name for name, values in known.items() if len(set(values)) > 1}
    named = (grows if len(alike) > 1 else set(base)) & counted
    if guessed:
        named |= grows
    found = [name for name, value in base.items() if name in named and value > 1]
    alone = Counter(known[name] for name in found)
    return [name for name in found if alone[known[name]] == 1]


def _thins(extents: Sequence[str], block: tuple[int, int, int]) -> Iterator[dict[str, int]]:
    """Extents that are a few; or a block's side, so that tiles are whole; or 1, for strides."""
    yield {name: _THIN[at] if at < len(_THIN) else 1 for at, name in enumerate(extents)}
    if extents and max(block) <= _LONGEST_SIDE:
        yield dict.fromkeys(extents, max(block))
    if extents:
        yield dict.fromkeys(extents, 1)


def _many_blocks(
    axis: int, extents: Sequence[str], usage: Usage, alike: Sequence[Workload], *, from_one: bool
) -> list[Workload]:
    """Many blocks along an axis that follows no scalar; nothing where it is long already.

    Else so many that there are many threads. Where there is one block in all launches, only if
    `from_one`: that may be what the kernel is made for.
    """
    base = min(alike, key=_threads)
    most = max(w.grid[axis] for w in alike)
    follows = grid_rule(axis, base, alike) is not None
    if (most == 1 and not from_one) or most > BEYOND_16_BITS or follows or usage.loops_by_grid:
        return []
    thins = _thins(extents, base.block)
    thin = [resized(base, {**values_of(base), **t}, alike) for t in thins]
    by_threads = (-(-long // base.block[axis]) for long in (LONG[0], LONG[-1]))
    counts = [n for n in (LONG[0], LONG[-1], *by_threads) if n > most]
    return [_with_blocks(launch, axis, blocks) for blocks in counts for launch in thin]


def _with_a_thread_each(launches: Sequence[Workload], alike: Sequence[Workload]) -> list[Workload]:
    """With so many threads that no loop over the grid goes round, if some launch had as many."""
    axis = max(range(3), key=lambda at: alike[0].grid[at])
    if max(w.grid[axis] * w.block[axis] for w in alike) <= BEYOND_16_BITS:
        return []
    return [
        _with_blocks(launch, axis, -(-LONG[0] // launch.block[axis]))
        for launch in launches
        if max(values_of(launch).values()) == LONG[0]
    ]


def _more_blocks_than_threads(axis: int, usage: Usage, alike: Sequence[Workload]) -> list[Workload]:
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
    return [_with_blocks(resized(base, values, alike), axis, blocks)]


def _fewer_blocks(alike: Sequence[Workload]) -> list[Workload]:
    """A share of the blocks of the longest launch, along the axis that has most."""
    base = max(alike, key=_threads)
    axis = max(range(3), key=lambda at: base.grid[at])
    blocks = base.grid[axis] // _ROUNDS
    fewer = msgspec.structs.replace(base, timed=False)
    return [_with_blocks(fewer, axis, blocks)] if blocks else []


def _with_blocks(launch: Workload, axis: int, blocks: int) -> Workload:
    x, y, z = (blocks if at == axis else side for at, side in enumerate(launch.grid))
    return msgspec.structs.replace(launch, grid=(x, y, z))


def _threads(launch: Workload) -> int:
    return math.prod(launch.grid) * math.prod(launch.block)


def build_of(launch: Workload) -> Build:
    """The launch, for given lengths of its buffers."""

    def build(lengths: Mapping[str, int]) -> Workload:
        args = (
            msgspec.structs.replace(a, length=lengths[a.name]) if isinstance(a, Buffer) else a
            for a in launch.args
        )
        return msgspec.structs.replace(launch, args=tuple(args))

    return build
