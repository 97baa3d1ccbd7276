"""Launches with one extent beyond 16 bits, derived from launches that count.

An index held in too narrow a type shows only where it exceeds that type. Each integer scalar that
the kernel counts up to is once made longer than 65,536, or 32,768 where that is too dear, while the
others are a few, so that a launch stays cheap. Blocks keep their shape, as
candidates may be made for it, but for those of `shapes.py`.

The size of the grid mistaken for that of a block shows only where there are more blocks than
threads in one: one more launch has them.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from hipopt.device.interface import CompileFailure, Microscope
from hipopt.records import Buffer, Workload
from hipopt.source.capsule import Capsule
from hipopt.source.usage import Body
from hipopt.workload.case import Counts
from hipopt.workload.extents import BEYOND_16_BITS, LONG, extents_of, thins, threads_of
from hipopt.workload.grids import (
    fewer_blocks,
    many_blocks,
    more_blocks_than_threads,
    spare_blocks,
    with_a_thread_each,
)
from hipopt.workload.resize import resized, values_of
from hipopt.workload.shapes import asks_for_grid, other_shapes, takes_any_block
from hipopt.workload.sizes import bytes_of
from hipopt.workload.templates import template_values
from hipopt.workload.trace import Build, Sight, Tracer
from hipopt.workload.types import ArgumentType, Types

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


class _Proposal(NamedTuple):
    """Launches of which one is worth having."""

    reason: str
    launches: Sequence[Workload]
    """The likeliest first."""
    reaches_more: bool = True
    """False: it is worth having only if it reaches no more than given."""


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
        for reason, launches, reaches_more in _proposals(body, alike, found, guessed=guessed):
            most = _most_threads(body)
            for launch in launches:
                if time.monotonic() > deadline or late == options.max_late:
                    return tuple(found)
                large = reaches_more and bytes_of(launch) > MAX_BUFFER_BYTES
                if threads_of(launch) > most or large:
                    continue
                sight = tracer.trace(build_of(launch), {b.name: b.length for b in launch.buffers})
                long = _at_least(sight.workload, launch)
                fits = _fits(sight) if reaches_more else long.args == launch.args
                if sight.trouble is None and sight.race is None and fits and counts(long) is None:
                    found.append(Stretched(long, f"{reason}{_PURPOSE}"))
                    break
                if _LATE in sight.reason:
                    most = threads_of(launch) // 2
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


def _fits(sight: Sight) -> bool:
    return bytes_of(sight.workload) <= MAX_BUFFER_BYTES


def _most_threads(body: Body) -> int:
    """Threads that a launch may have so that it stays cheap."""
    return MAX_THREADS if _BARRIER.search(body.capsule.source) else MAX_UNORDERED_THREADS


def _proposals(
    body: Body, alike: Sequence[Workload], found: Sequence[Stretched], *, guessed: bool
) -> Iterator[_Proposal]:
    """Launches by the reason why they are worth a look, likeliest first.

    For each scalar that is long in no workload yet, those that make it so; scalars that an index is
    compared with come first. Blocks and coverage are those of the other launches. `found` grows
    meanwhile.
    """
    usage = body.usage
    extents = extents_of(usage, alike, guessed=guessed)
    base = min(alike, key=threads_of)
    if guessed and usage.loops_by_grid:
        why = "fewer blocks, so that loops over the grid go round"
        yield _Proposal(why, fewer_blocks(alike))
    for name in sorted(extents, key=lambda n: n not in usage.bounds):
        if max(values_of(w)[name] for w in alike) <= BEYOND_16_BITS:
            thin = thins([e for e in extents if e != name], base.block)
            sizes = [{**t, name: long} for long, t in itertools.product(LONG, thin)]
            launches = [resized(base, {**values_of(base), **s}, alike) for s in sizes]
            why = f"'{name}' is beyond 16 bits and other extents are small"
            yield _Proposal(why, launches)
            if usage.loops_by_grid:
                whole = with_a_thread_each(launches, alike)
                why = f"'{name}' is beyond 16 bits and a thread stands for each"
                yield _Proposal(why, whole)
    if guessed and takes_any_block(body.capsule):
        for why, launches in other_shapes(usage, extents, alike):
            yield _Proposal(why, launches)
    for axis in range(3):
        alone = guessed and f"b{'xyz'[axis]}" in usage.indices
        many = many_blocks(axis, extents, usage, alike, from_one=alone)
        why = f"the number of blocks or threads along {'xyz'[axis]} is beyond 16 bits"
        yield _Proposal(why, many)
    for axis in range(3):
        more = more_blocks_than_threads(axis, usage, alike)
        yield _Proposal(f"more blocks than threads in one along {'xyz'[axis]}", more)
    if guessed and not asks_for_grid(body.capsule):
        for axis in range(3):
            known = [*alike, *(one.workload for one in found)]
            why = f"a grid far beyond the data along {'xyz'[axis]}"
            yield _Proposal(why, spare_blocks(axis, usage, known, alike), reaches_more=False)


def build_of(launch: Workload) -> Build:
    """The launch, for given lengths of its buffers."""

    def build(lengths: Mapping[str, int]) -> Workload:
        args = (
            msgspec.structs.replace(a, length=lengths[a.name]) if isinstance(a, Buffer) else a
            for a in launch.args
        )
        return msgspec.structs.replace(launch, args=tuple(args))

    return build
