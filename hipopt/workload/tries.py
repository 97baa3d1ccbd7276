"""The search for one launch of a kernel that runs well and counts."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hipopt.records import Workload
from hipopt.source.tokens import code_words
from hipopt.workload.blocks import block_options
from hipopt.workload.case import RUN_SEED, Case
from hipopt.workload.contents import content_options
from hipopt.workload.fill import fill_workload
from hipopt.workload.freedom import Freedom
from hipopt.workload.plan import Plan
from hipopt.workload.repairs import Repairs
from hipopt.workload.roles import combinations, role_options
from hipopt.workload.sizes import Size, aligned_size, bytes_of, odd_size
from hipopt.workload.trace import Sight

BUSY_SHARE = 0.5
"""Share of threads that leave something behind from which on a launch is good enough."""
MOSTLY_FINITE = 0.5
"""Share of its results that has to be finite on ordinary data, else positive ones are tried."""
LEAST_FINITE = 0.1
"""The same on data that are positive already; the judge asks for no more."""
_LATER_TRIES = 12
"""Launches tried after one that counts but leaves most threads idle."""
_RACING_TRIES = 8
_RACING_SHARE = 0.5
"""Of the time, kept for launches with a race where there are no others."""
_ROOMY_BYTES = 1 << 20
"""Of all buffers of a small launch: with more, shorter steps through them are tried first."""
_PATIENCE_S = 4.0
"""For one launch in several runs: some tenths of a second are usual."""
_OTHER_FACTOR = 1.5
_WEIGHTS = {" block": 2.0, " grid": 1.5, " contents": 2.0}


class Start(NamedTuple):
    """A launch that runs well and counts."""

    plan: Plan
    size: Size
    sight: Sight
    is_defined: bool = True
    """Whether nothing is shifted by what is no number of bits, which may do anything."""

    @property
    def is_good(self) -> bool:
        """Whether none need be looked for that keeps more threads busy."""
        return self.is_defined and self.busy_share >= BUSY_SHARE

    @property
    def busy_share(self) -> float:
        """Share of threads that leave something; half where each block leaves something."""
        share = self.sight.busy / max(1, self.sight.threads)
        by_block = self.sight.busy >= self.sight.blocks > 1
        return max(BUSY_SHARE, share) if by_block else share

    @property
    def untouched(self) -> int:
        """Buffers that are neither read nor written: a part of the kernel did not run."""
        touched = self.sight.read | self.sight.written
        return sum(buffer.name not in touched for buffer in self.sight.workload.buffers)


class Tries:
    """Launches of one kernel, tried from the likeliest on."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._seen: set[Workload] = set()
        self._racing: list[Start] = []
        self._best: Start | None = None
        self._roomy: set[Workload] = set()
        self._refused = 0
        self._repairs = Repairs(case.body.usage)

    def first(self) -> Start | None:
        """The first launch that keeps threads busy, else the busiest of those found.

        One with a race, if it counts all the same, is taken only where there is no other.
        """
        best: Start | None = None
        later = 0
        for plan in self._repairs.before(self._plans()):
            if best is None and self._racing and self._is_late():
                break
            if self._is_over(later if best is None or not best.is_good else 2 * later):
                break
            best = max(filter(None, (best, self._smallest(plan))), key=_merit, default=None)
            self._best = best
            later += best is not None
            if best is not None and best.is_good and self._touches_all(best):
                break
        return best or next(filter(self._does_count_in_time, self._racing[:_RACING_TRIES]), None)

    def _touches_all(self, start: Start) -> bool:
        """Whether it touches all buffers that the kernel's text names."""
        touched = start.sight.read | start.sight.written
        words = code_words(self._case.body.text)
        named = Counter(word.text for word in words)
        return all(named[b.name] < 2 or b.name in touched for b in start.sight.workload.buffers)

    def _does_count_in_time(self, start: Start) -> bool:
        return not self._case.diary.is_over and self._case.does_count(start.sight.workload)

    def _is_over(self, later: int) -> bool:
        options = self._case.options
        many = len(self._seen) > options.max_tries or self._refused > options.max_refused
        return self._case.diary.is_over or many or later > _LATER_TRIES

    def _is_late(self) -> bool:
        """Whether the time that is left is needed for those with a race."""
        left_s = self._case.diary.deadline - time.monotonic()
        return left_s < self._case.options.budget_s * _RACING_SHARE

    def _plans(self) -> Iterator[Plan]:
        case = self._case
        blocks = block_options(case.body, case.numbers)
        contents = content_options(case.body, case.types)
        grids = ["cover", *(["one"] if "bx" in case.body.usage.indices else [])]
        if case.body.capsule.launches:
            grids.insert(0, "host")
        choices: dict[str, Sequence[str]] = {
            " block": [str(i) for i in range(len(blocks))],
            " grid": grids,
            " contents": [str(i) for i in range(len(contents))],
            **role_options(case.body, case.types, case.numbers),
        }
        for chosen in combinations(choices, _WEIGHTS):
            yield Plan(
                template=case.template,
                block=blocks[int(chosen.pop(" block"))],
                grid=chosen.pop(" grid"),  # type: ignore[arg-type]  # one of grids
                contents=contents[int(chosen.pop(" contents"))],
                roles=chosen,
            )

    def _smallest(self, plan: Plan) -> Start | None:
        """The plan at a size that leaves a remainder, else at one that leaves none."""
        axes = self._case.axes
        sizes = (odd_size(plan.block, axes), aligned_size(plan.block, axes))
        for size in sizes[self._repairs.wants_whole_vectors :]:
            start = None if self._case.diary.is_over else self._at(plan, size)
            if start is not None:
                return start
        return None

    def _at(self, plan: Plan, size: Size) -> Start | None:
        first = self._case.build(plan, size)({})
        if first in self._seen and first not in self._roomy:
            return None
        self._seen.add(first)
        patience_s = _PATIENCE_S if self._repairs.would_shrink(plan) else math.inf
        sight = self._case.look(plan, size, patience_s)
        if sight.trouble is not None:
            self._case.diary.note(sight.reason)
            self._repairs.of_trouble(plan, sight)
            return None
        self._repairs.did_well(plan)
        start = self._less_idle(Start(plan, size, sight))
        if start.sight.race is not None:
            self._case.diary.note(start.sight.race)
            self._racing.append(start)
            self._repairs.of_race(plan)
            return None
        if self._is_put_off(start, first):
            return None
        if self._case.shifts_wrongly(start.sight.workload):
            self._case.diary.note("it shifts by what is no number of bits")
            start = start._replace(is_defined=False)
        if self._best is not None and _merit(start) <= _merit(self._best):
            return None
        if self._says_something(start) and self._case.does_count(start.sight.workload):
            return start
        self._refused += 1
        return None

    def _is_put_off(self, start: Start, first: Workload) -> bool:
        """Whether it waits for the same with shorter steps, as its buffers are so large."""
        if first in self._roomy or bytes_of(start.sight.workload) <= _ROOMY_BYTES:
            return False
        self._roomy.add(first)
        return self._repairs.of_room(start.plan) is not None

    def _says_something(self, start: Start) -> bool:
        """Whether what the launch leaves differs from place to place."""
        launch = start.sight.workload
        changed = self._changed(launch)
        if self._is_too_wild(start.plan, _finite_share(changed)):
            self._case.diary.note("most of what it writes is NaN or infinite")
            self._repairs.of_wild_results(start.plan)
            return False
        if _is_uniform(changed) and not self._follows_scalars(launch, changed):
            self._case.diary.note("all that it writes is one and the same number")
            return False
        return True

    def _follows_scalars(self, launch: Workload, changed: Sequence[NDArray[Any]]) -> bool:
        """Whether all that it writes changes with the float scalars."""
        other = Freedom().scaled(launch, _OTHER_FACTOR)
        if other == launch:
            return False
        now = self._changed(other)
        return all(
            a.size == b.size and bool((a != b).all()) for a, b in zip(changed, now, strict=True)
        )

    def _changed(self, launch: Workload) -> list[NDArray[Any]]:
        """For each buffer the elements that the launch leaves other than they were."""
        ran = self._case.run(launch)
        filled = fill_workload(launch, RUN_SEED)
        return [
            after[before.view(f"u{before.itemsize}") != after.view(f"u{after.itemsize}")]
            for before, after in zip(filled, ran[1] if ran else filled, strict=True)
        ]

    def _is_too_wild(self, plan: Plan, finite_share: float) -> bool:
        """Whether other data may leave more finite numbers, and these leave too few."""
        signed = any(content.fill == "normal" for content in plan.contents.values())
        return finite_share < (MOSTLY_FINITE if signed else LEAST_FINITE)

    def _less_idle(self, start: Start) -> Start:
        """With fewer blocks, where that loses nothing of what is reached."""
        sight = start.sight
        blocks = sight.workload.grid[0]
        if sight.busy * 2 >= sight.threads or blocks < 2 or not sight.busy:
            return start
        fewer = start.plan._replace(share=max(sight.busy / sight.threads, 1 / blocks))
        again = self._case.look(fewer, start.size)
        same = again.reaches == sight.reaches and again.busy == sight.busy
        return Start(fewer, start.size, again) if again.trouble is None and same else start


def _is_uniform(changed: Sequence[NDArray[Any]]) -> bool:
    """Whether no buffer is left with two different numbers, and one has several."""
    several = [values for values in changed if values.size > 1]
    return bool(several) and all((values == values[0]).all() for values in several)


def _finite_share(changed: Sequence[NDArray[Any]]) -> float:
    """Of the floating-point numbers; 1 where there are none."""
    floats = [values.astype(np.float64) for values in changed if values.dtype.kind not in "iub"]
    count = sum(values.size for values in floats)
    return sum(int(np.isfinite(values).sum()) for values in floats) / count if count else 1.0


def _merit(start: Start) -> tuple[bool, bool, int, float]:
    """Launches whose threads work are best, among those the ones that touch most buffers.

    Those that do nothing undefined come before all others.
    """
    return (start.is_defined, start.busy_share >= BUSY_SHARE, -start.untouched, start.busy_share)
