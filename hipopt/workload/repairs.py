"""Plans that the trouble with others has led to, to be tried before any further ones."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator

from hipopt.source.usage import Usage
from hipopt.workload.contents import narrowed, positive, tamer, with_places
from hipopt.workload.mend import apart, can_shrink, compact, mend, smaller
from hipopt.workload.plan import GridMode, Plan
from hipopt.workload.sizes import Dim3
from hipopt.workload.trace import Sight

_NARROWED_TRIES = 12
"""Plans tried once more with small integers, as integers of any size led them astray."""
_SHRUNK_TRIES = 6
_PARTED_TRIES = 6
_OVERRUNS = 12
"""Overruns of an array that show a block to have too many threads for it, if it never did well."""
_MISALIGNED = 2


class Repairs:
    """What is waiting to be tried, and the blocks that turned out to be too large."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._waiting: deque[Plan] = deque()
        self._left = {"narrowed": _NARROWED_TRIES, "shrunk": _SHRUNK_TRIES, "parted": _PARTED_TRIES}
        self._misaligned = 0
        self._done: set[tuple[Dim3, int | None, GridMode]] = set()
        self._overruns: Counter[tuple[Dim3, Dim3]] = Counter()
        self._instead: dict[Dim3, Dim3] = {}
        self._fits: set[Dim3] = set()

    @property
    def wants_whole_vectors(self) -> bool:
        """Whether several launches have failed for extents that are no multiple of a vector."""
        return self._misaligned >= _MISALIGNED

    def would_shrink(self, plan: Plan) -> bool:
        """Whether the plan would be tried with smaller extents if it took long."""
        return self._left["shrunk"] > 0 and can_shrink(plan)

    def before(self, plans: Iterator[Plan]) -> Iterator[Plan]:
        """The plans, those first that trouble has led to, with blocks that fit."""
        for plan in plans:
            yield from self._led_to()
            yield self._fitting(plan)
        yield from self._led_to()

    def of_trouble(self, plan: Plan, sight: Sight) -> None:
        """Has the plan tried with what its trouble asks for.

        That may be more dynamic LDS, a smaller block, smaller extents, or integers small enough
        to be indices.
        """
        self._misaligned += "not aligned" in sight.reason
        self._narrow(plan, sight)
        self._shrink(plan, sight)
        mended = mend(plan, sight.reason)
        if mended is None:
            return
        repair = (mended.block, mended.lds_bytes, mended.grid)
        if repair not in self._done:
            self._done.add(repair)
            self._waiting.append(mended)
        if mended.block != plan.block:
            self._overruns[plan.block, mended.block] += 1
            if self._overruns[plan.block, mended.block] >= _OVERRUNS:
                self._instead[plan.block] = mended.block

    def did_well(self, plan: Plan) -> None:
        """Blocks as large as the plan's fit."""
        self._fits.add(plan.block)

    def of_race(self, plan: Plan) -> None:
        """Has the plan tried with longer rows, where two threads met in one place."""
        self._try("parted", apart(plan, self._usage.strides.keys() - self._usage.bounds.keys()))

    def of_room(self, plan: Plan) -> Plan | None:
        """Has the plan tried with shorter steps, which is returned, and then once more itself.

        Most of buffers as large as those is never touched, and costs all who look at it time.
        """
        dense = compact(plan, plan.roles.keys() - self._usage.bounds.keys())
        if dense is not None:
            self._waiting += (dense, plan)
        return dense

    def of_wild_results(self, plan: Plan) -> None:
        """Has the plan tried with data that most functions take."""
        tame = plan._replace(contents=tamer(plan.contents))
        if tame != plan:
            self._waiting.append(tame)

    def _narrow(self, plan: Plan, sight: Sight) -> None:
        """Has the plan tried with small integers, where data may be why it went astray.

        Without such, with floats that index others, and then all floats, positive, where it went
        astray before a start.
        """
        narrow = plan._replace(contents=narrowed(plan.contents))
        if narrow == plan and sight.trouble == "before":
            indexing = set().union(*self._usage.subscripts.values())
            narrow = plan._replace(contents=with_places(plan.contents, indexing))
        if narrow == plan and sight.trouble == "before":
            narrow = plan._replace(contents=positive(plan.contents))
        if sight.trouble != "idle" and narrow != plan and "not aligned" not in sight.reason:
            self._try("narrowed", narrow)

    def _shrink(self, plan: Plan, sight: Sight) -> None:
        """Has the plan tried with smaller extents, where it went on for too long or too far."""
        small = smaller(plan, sight.reason)
        if small is not None:
            self._try("shrunk", small._replace(contents=narrowed(small.contents)))

    def _try(self, kind: str, plan: Plan | None) -> None:
        """Has it tried, unless so many of that kind were in vain."""
        if plan is not None and plan not in self._waiting and self._left[kind] > 0:
            self._left[kind] -= 1
            self._waiting.append(plan)

    def _led_to(self) -> Iterator[Plan]:
        while self._waiting:
            yield self._waiting.popleft()

    def _fitting(self, plan: Plan) -> Plan:
        """With the block that faults have led to, where all of its own went beyond an array."""
        block = plan.block
        while block in self._instead and block not in self._fits:
            block = self._instead[block]
        return plan if block == plan.block else plan._replace(block=block, grid="cover")
