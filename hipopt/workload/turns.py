"""Launches that take branches which no other launch takes, or tell equal scalars apart.

What stands in a branch that no launch takes may say anything. Where a kernel's branches hang on a
scalar, or on what integer buffers hold, one small launch is added for each that another value leads
into, as long as the original runs well there. Where all branches are taken, nothing is added.

Two extents mistaken for each other show only where they differ: scalars that are the same in all
launches are told apart in one more. What is shifted to beyond 16 bits and held in as many shows
only where it is shifted so far.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hipopt.device.interface import CompileFailure, Microscope
from hipopt.records import Workload
from hipopt.source.capsule import Capsule
from hipopt.workload.branches import NOTHING, Branches, Taken
from hipopt.workload.case import Counts
from hipopt.workload.changes import others, shifted, told_apart
from hipopt.workload.sizes import bytes_of
from hipopt.workload.stretch import MAX_BUFFER_BYTES, Stretched, build_of, types_of
from hipopt.workload.trace import Tracer

REASON = (
    "other {what} than elsewhere, so that {count} more of the branches are taken; buffers as long "
    "as was reached"
)
SHIFTS = (
    "{what} shifts beyond 16 bits, for candidates to be checked on, not timed; buffers as long as "
    "was reached"
)
APART = "{what} differ, which are the same elsewhere; buffers as long as was reached"
UNTAKEN = "no launch takes {left} of its {all} branches: {lines}"
_AS_MUCH = 0.99


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


class Turns(NamedTuple):
    """What came of it."""

    launches: tuple[Stretched, ...] = ()
    untaken: str | None = None
    """Which of the kernel's branches no launch takes; None: all are taken, as far as is known."""


def turns(
    capsule: Capsule, microscope: Microscope, workloads: Sequence[Workload], counts: Counts,
    options: TurnOptions | None = None,
) -> Turns:  # fmt: skip
    """Launches on which a verdict counts, each with something that those before don't have.

    Args:
        capsule: the kernel.
        microscope: where launches are traced.
        workloads: launches that count, the smallest first.
        counts: the last word on a launch that ran well.
        options: how long to look.
    """
    if not workloads:
        return Turns()
    options = options or TurnOptions()
    template = workloads[0].template
    types = types_of(capsule, template)
    branches = Branches.of(
        capsule, microscope, template, options.compile_timeout_s, options.launch_timeout_s
    )
    code = microscope.compile_instrumented(capsule, template, options.compile_timeout_s)
    if branches is None or types is None or isinstance(code, CompileFailure):
        return Turns()
    with branches, Tracer(microscope, code, types, options.launch_timeout_s) as tracer:
        search = _Search(branches, tracer, workloads, counts, options)
        found = (*search.apart(), *search.shifting(capsule), *search.covering(capsule))
        return Turns(found, search.untaken())


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
        for launches in itertools.islice(told_apart(self._workloads), self._options.most_apart):
            for what, launch in launches:
                turn = self._tried(what, launch)
                if turn is not None and self._counts(turn.launch) is None:
                    self._left -= turn.taken
                    yield Stretched(turn.launch, APART.format(what=what))
                    break

    def shifting(self, capsule: Capsule) -> Iterator[Stretched]:
        """Launches in which a scalar that something is shifted by is beyond 16."""
        for launches in shifted(capsule, self._workloads):
            for what, launch in launches:
                turn = self._tried(what, launch, most_bytes=MAX_BUFFER_BYTES)
                if turn is not None and self._counts(turn.launch) is None:
                    yield Stretched(turn.launch, SHIFTS.format(what=what))
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

    def untaken(self) -> str | None:
        """The branches that are left, in words; None: there are none."""
        if not self._left:
            return None
        lines = sorted({self._branches.lines[branch] for branch in self._left})
        named = f"line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))}"
        return UNTAKEN.format(left=len(self._left), all=len(self._branches.all), lines=named)

    def _with_branches_left(self, capsule: Capsule) -> Iterator[_Turn]:
        """Those that run well and take branches that are left, until all are, or time is up."""
        untaken = set(self._left)
        tries = others(capsule, self._workloads, self._options.max_pairs)
        for what, launch in itertools.islice(tries, self._options.max_tries):
            if not untaken or time.monotonic() > self._deadline:
                return
            turn = self._tried(what, launch)
            if turn is not None and turn.taken & self._left:
                yield turn
                untaken -= turn.taken

    def _tried(self, what: str, launch: Workload, most_bytes: int = 0) -> _Turn | None:
        """The launch with buffers as long as it reaches; None where it does not run well."""
        sight = self._tracer.trace(build_of(launch), {b.name: b.length for b in launch.buffers})
        fits = bytes_of(sight.workload) <= max(self._most_bytes, most_bytes)
        if sight.trouble is not None or sight.race is not None or not fits:
            return None
        taken = self._branches.taken(sight.workload)
        if taken is NOTHING or (launch.timed and not _is_as_whole(taken, self._known)):
            return None
        return _Turn(sight.workload, what, taken.branches)


def _is_as_whole(taken: Taken, known: Sequence[Taken]) -> bool:
    """Whether it writes as much of each buffer as the others do, or nothing.

    A candidate that hands out the work in another way would else write another part.
    """
    columns = zip(taken.written, *(one.written for one in known if one.written), strict=True)
    return all(
        not share or share >= _AS_MUCH * min(others, default=0) for share, *others in columns
    )
