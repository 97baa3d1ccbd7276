"""Launches that take branches which no other launch takes, or tell equal scalars apart.

What stands in a branch that no launch takes may say anything. Where a kernel's branches hang on a
scalar, or on what integer buffers hold, one small launch is added for each that another value leads
into, as long as the original runs well there. Where all branches are taken, nothing is added.

Two extents mistaken for each other show only where they differ: scalars that are the same in all
launches are told apart in one more.
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
from hipopt.workload.branches import NOTHING, Branches, Taken
from hipopt.workload.case import Counts
from hipopt.workload.resize import values_of
from hipopt.workload.sizes import bytes_of
from hipopt.workload.stretch import Stretched, build_of, types_of
from hipopt.workload.trace import Tracer

REASON = (
    "other {what} than elsewhere, so that {count} more of the branches are taken; buffers as long "
    "as was reached"
)
APART = "{what} differ, which are the same elsewhere; buffers as long as was reached"
_LEAST_HALVED = 4
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
    """Wall seconds for trying launches, and as many for asking whether they count."""
    launch_timeout_s: float = 1.0
    compile_timeout_s: float = 60.0
    most: int = 4
    """Launches added for branches."""
    most_apart: int = 3
    """Pairs of scalars told apart."""
    max_tries: int = 120
    max_pairs: int = 60
    """Of them, those with two scalars changed."""


class _Turn(NamedTuple):
    """A launch that runs well."""

    launch: Workload
    what: str
    """What is other than elsewhere."""
    taken: frozenset[int]
    """The branches that it takes."""


def turns(
    capsule: Capsule, microscope: Microscope, workloads: Sequence[Workload], counts: Counts,
    options: TurnOptions | None = None,
) -> tuple[Stretched, ...]:  # fmt: skip
    """Launches on which a verdict counts, each with something that those before don't have.

    Args:
        capsule: the kernel.
        microscope: where launches are traced.
        workloads: launches that count, the smallest first.
        counts: the last word on a launch that ran well.
        options: how long to look.
    """
    if not workloads:
        return ()
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
        search = _Search(branches, tracer, workloads, counts, options)
        return (*search.apart(), *search.covering(capsule))


class _Search:
    """Tries launches derived from those that count."""

    def __init__(
        self, branches: Branches, tracer: Tracer, workloads: Sequence[Workload], counts: Counts,
        options: TurnOptions,
    ) -> None:  # fmt: skip
        self._branches = branches
        self._tracer = tracer
        self._workloads = workloads
        self._counts = counts
        self._options = options
        self._known = [branches.taken(w) for w in workloads]
        self._left = set(branches.all).difference(*(one.branches for one in self._known))
        self._most_bytes = 2 * max(map(bytes_of, workloads))
        self._deadline = time.monotonic() + options.budget_s

    def apart(self) -> Iterator[Stretched]:
        """Launches in which two scalars differ that are the same in all others."""
        for launches in itertools.islice(_told_apart(self._workloads), self._options.most_apart):
            for what, launch in launches:
                turn = self._tried(what, launch)
                if turn is not None and self._counts(turn.launch) is None:
                    self._left -= turn.taken
                    yield Stretched(turn.launch, APART.format(what=what))
                    break

    def covering(self, capsule: Capsule) -> Iterator[Stretched]:
        """Launches that together take most of the branches left, the best first."""
        waiting = list(self._with_branches_left(capsule))
        latest = time.monotonic() + self._options.budget_s
        added = 0
        while added < self._options.most and time.monotonic() < latest:
            waiting = [turn for turn in waiting if turn.taken & self._left]
            if not waiting:
                return
            best = max(waiting, key=lambda turn: len(turn.taken & self._left))
            waiting.remove(best)
            if self._counts(best.launch) is None:
                added += 1
                count = len(best.taken & self._left)
                self._left -= best.taken
                yield Stretched(best.launch, REASON.format(what=best.what, count=count))

    def _with_branches_left(self, capsule: Capsule) -> Iterator[_Turn]:
        """Those that run well and take branches that are left, until all are, or time is up."""
        untaken = set(self._left)
        others = _others(capsule, self._workloads, self._options)
        for what, launch in itertools.islice(others, self._options.max_tries):
            if not untaken or time.monotonic() > self._deadline:
                return
            turn = self._tried(what, launch)
            if turn is not None and turn.taken & self._left:
                yield turn
                untaken -= turn.taken

    def _tried(self, what: str, launch: Workload) -> _Turn | None:
        """The launch with buffers as long as it reaches; None where it does not run well."""
        sight = self._tracer.trace(build_of(launch), {b.name: b.length for b in launch.buffers})
        fits = bytes_of(sight.workload) <= self._most_bytes
        if sight.trouble is not None or sight.race is not None or not fits:
            return None
        taken = self._branches.taken(sight.workload)
        is_well = taken is not NOTHING and _is_as_whole(taken, self._known)
        return _Turn(sight.workload, what, taken.branches) if is_well else None


def _is_as_whole(taken: Taken, known: Sequence[Taken]) -> bool:
    """Whether it writes as much of each buffer as the others do, or nothing.

    A candidate that hands out the work in another way would else write another part.
    """
    columns = zip(taken.written, *(one.written for one in known if one.written), strict=True)
    return all(
        not share or share >= _AS_MUCH * min(others, default=0) for share, *others in columns
    )


def _told_apart(workloads: Sequence[Workload]) -> Iterator[list[tuple[str, Workload]]]:
    """For two integer scalars that are the same in all launches, the smallest with one halved."""
    base = min(workloads, key=bytes_of)
    for one, other in itertools.combinations(_integers(base), 2):
        value = _value(base, one)
        same = all(_value(w, one) == _value(w, other) for w in workloads)
        if same and value >= _LEAST_HALVED:
            what = f"'{base.args[one].name}' and '{base.args[other].name}'"
            yield [
                (what, launch)
                for at in (other, one)
                for _, launch in _changed(base, {at: value // 2 + 1})
            ]


def _value(launch: Workload, at: int) -> int:
    argument = launch.args[at]
    return int(argument.value) if isinstance(argument, Scalar) else 0


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
