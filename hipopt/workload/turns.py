"""Launches that take branches which no other launch takes.

What stands in a branch that no launch takes may say anything. Where a kernel's branches hang on a
scalar, or on what integer buffers hold, one small launch is added for each that another value leads
into, as long as the original runs well there. Where all branches are taken, nothing is added.
"""

from __future__ import annotations

import itertools
import random
import re
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from hipopt.device.interface import CompileFailure, Microscope
from hipopt.records import Argument, Buffer, Scalar, Workload
from hipopt.source.capsule import Capsule
from hipopt.workload.branches import Branches, Taken
from hipopt.workload.case import Counts
from hipopt.workload.resize import values_of
from hipopt.workload.sizes import bytes_of
from hipopt.workload.stretch import Stretched, build_of, types_of
from hipopt.workload.trace import Tracer

REASON = (
    "other {what} than elsewhere, so that {count} more of the branches are taken; buffers as long "
    "as was reached"
)
_PLAIN = (0, 1, 2, 3, 4, 5, 8, 16)
_MOST_WRITTEN = 256
"""Numbers in the kernel's text beyond are no values to try."""
_NUMBER = re.compile(r"(?<![\w.])(\d+|0x[0-9a-fA-F]+)[uUlL]*(?![\w.])")
_SEED = 1
_AS_MUCH = 0.99
_SHARES = (2, 8, 1 << 30)
_INDICES_BELOW = (2, 4, 64)
_FLOATS = (0.0, 1.0, -1.0)


class TurnOptions(NamedTuple):
    """How long to look, and how many launches may come of it."""

    budget_s: float = 5.0
    """Wall seconds for one kernel, compiling apart."""
    launch_timeout_s: float = 1.0
    compile_timeout_s: float = 60.0
    most: int = 4
    """Launches added."""
    max_tries: int = 120
    max_pairs: int = 60
    """Of them, those with two scalars changed."""


class _Turn(NamedTuple):
    """A launch that runs well."""

    launch: Workload
    what: str
    """What is other than elsewhere."""
    taken: Taken


def turns(
    capsule: Capsule, microscope: Microscope, workloads: Sequence[Workload], counts: Counts,
    options: TurnOptions | None = None,
) -> tuple[Stretched, ...]:  # fmt: skip
    """Launches on which a verdict counts, each with a branch that those before don't take.

    Args:
        capsule: the kernel.
        microscope: where launches are traced.
        workloads: launches that count, the smallest first.
        counts: the last word on a launch that ran well.
        options: how long to look.
    """
    options = options or TurnOptions()
    template = workloads[0].template
    types = types_of(capsule, template)
    branches = Branches.of(
        capsule, microscope, template, options.compile_timeout_s, options.launch_timeout_s
    )
    code = microscope.compile_instrumented(capsule, template, options.compile_timeout_s)
    if branches is None or types is None or isinstance(code, CompileFailure):
        return ()
    with branches, Tracer(microscope, code, types, options.launch_timeout_s) as tracer:
        known = [branches.taken(w) for w in workloads]
        left = set(branches.all).difference(*(one.branches for one in known))
        others = _others(capsule, workloads, options)
        most_bytes = 2 * max(map(bytes_of, workloads))
        seen = _seen(others, left, most_bytes, (branches, tracer), options)
        launches = [turn for turn in seen if _is_as_whole(turn.taken, known)]
        return tuple(_found(left, launches, counts, options.most))


def _found(
    left: set[int], launches: Sequence[_Turn], counts: Counts, most: int
) -> Iterator[Stretched]:
    """The launches that together take most of the branches left, the best first."""
    waiting = list(launches)
    while left and most:
        waiting = [turn for turn in waiting if turn.taken.branches & left]
        best = max(waiting, key=lambda turn: len(turn.taken.branches & left), default=None)
        if best is None:
            return
        waiting.remove(best)
        if counts(best.launch) is None:
            count = len(best.taken.branches & left)
            yield Stretched(best.launch, REASON.format(what=best.what, count=count))
            left -= best.taken.branches
            most -= 1


def _is_as_whole(taken: Taken, known: Sequence[Taken]) -> bool:
    """Whether it writes as much of each buffer as the others do, or nothing.

    A candidate that hands out the work in another way would else write another part.
    """
    columns = zip(taken.written, *(one.written for one in known if one.written), strict=False)
    return all(
        not share or share >= _AS_MUCH * min(others, default=0) for share, *others in columns
    )


def _seen(
    others: Iterator[tuple[str, Workload]], left: set[int], most_bytes: int,
    tools: tuple[Branches, Tracer], options: TurnOptions,
) -> Iterator[_Turn]:  # fmt: skip
    """Those that run well and take branches that are left, until all are, or time is up."""
    branches, tracer = tools
    deadline = time.monotonic() + options.budget_s
    untaken = set(left)
    for what, launch in itertools.islice(others, options.max_tries):
        if not untaken or time.monotonic() > deadline:
            return
        sight = tracer.trace(build_of(launch), {b.name: b.length for b in launch.buffers})
        fits = bytes_of(sight.workload) <= most_bytes
        if sight.trouble is None and sight.race is None and fits:
            taken = branches.taken(sight.workload)
            if taken.branches & left:
                yield _Turn(sight.workload, what, taken)
                untaken -= taken.branches


def _others(
    capsule: Capsule, workloads: Sequence[Workload], options: TurnOptions
) -> Iterator[tuple[str, Workload]]:
    """The smallest launch with other values, few changed first."""
    base = min(workloads, key=bytes_of)
    for at, argument in enumerate(base.args):
        if isinstance(argument, Scalar) and argument.scalar == "bool":
            yield f"'{argument.name}'", _with(base, {at: _valued(argument, not argument.value)})
    yield from _other_grids(base)
    values = _values(capsule, base)
    for at, value in ((at, value) for value in values for at in _integers(base)):
        yield from _changed(base, {at: value})
    for value in values:
        yield from _changed(base, dict.fromkeys(_small(workloads), value))
    for below in _INDICES_BELOW:
        yield from _other_contents(base, below)
    yield from _other_floats(base)
    pairs = [*itertools.product(itertools.combinations(_integers(base), 2), values, values)]
    chance = random.Random(_SEED)  # noqa: S311
    for (one, other), value, second in chance.sample(pairs, min(len(pairs), options.max_pairs)):
        yield from _changed(base, {one: value, other: second})


def _other_grids(base: Workload) -> Iterator[tuple[str, Workload]]:
    """With fewer blocks along one axis, so that loops over the grid go round."""
    for axis, side in enumerate(base.grid):
        for blocks in dict.fromkeys(max(1, side // share) for share in _SHARES):
            if blocks < side:
                x, y, z = (blocks if at == axis else s for at, s in enumerate(base.grid))
                yield "numbers of blocks", msgspec.structs.replace(base, grid=(x, y, z))


def _values(capsule: Capsule, base: Workload) -> list[int]:
    """What scalars are tried with: the text's numbers, their neighbours, other scalars."""
    written = [int(n, 0) for n in _NUMBER.findall(capsule.kernel_text) if _is_number(n)]
    near = [w + step for w in written if w <= _MOST_WRITTEN for step in (0, 1, -1)]
    some = dict.fromkeys([*_PLAIN, *near, *values_of(base).values()])
    return [value for value in some if value >= 0]


def _is_number(text: str) -> bool:
    return text.startswith("0x") or text == "0" or not text.startswith("0")


def _integers(base: Workload) -> list[int]:
    return [
        at for at, a in enumerate(base.args) if isinstance(a, Scalar) and "int" in a.scalar
    ]  # fmt: skip


def _small(workloads: Sequence[Workload]) -> list[int]:
    """Integer scalars that don't change from size to size."""
    return [
        at for at in _integers(workloads[0]) if len({w.args[at] for w in workloads}) == 1
    ]  # fmt: skip


def _changed(base: Workload, values: dict[int, int]) -> Iterator[tuple[str, Workload]]:
    args: dict[int, Argument] = {}
    for at, value in values.items():
        argument = base.args[at]
        if isinstance(argument, Scalar) and argument.value != value:
            args[at] = _valued(argument, value)
    if args:
        names = " and ".join(f"'{base.args[at].name}'" for at in args)
        yield f"values of {names}", _with(base, args)


def _other_contents(base: Workload, below: int) -> Iterator[tuple[str, Workload]]:
    """With integers below that bound in one buffer."""
    for at, argument in enumerate(base.args):
        if isinstance(argument, Buffer) and "int" in argument.buffer and argument.below != below:
            filled = Buffer(
                name=argument.name, buffer=argument.buffer, length=argument.length, fill="index",
                below=below,
            )  # fmt: skip
            yield f"content of '{argument.name}'", _with(base, {at: filled})


def _other_floats(base: Workload) -> Iterator[tuple[str, Workload]]:
    for at, argument in enumerate(base.args):
        if isinstance(argument, Scalar) and "float" in argument.scalar:
            for value in _FLOATS:
                yield f"values of '{argument.name}'", _with(base, {at: _valued(argument, value)})


def _valued(argument: Scalar, value: float) -> Scalar:
    return msgspec.structs.replace(argument, value=value)


def _with(base: Workload, args: dict[int, Argument]) -> Workload:
    """The launch with those arguments, by place."""
    changed = tuple(args.get(at, a) for at, a in enumerate(base.args))
    return msgspec.structs.replace(base, args=changed)
