"""The reference looked at on one family's data: what it leaves, and how that moves.

Everything here is drawn from a fixed seed, so that a verdict can be replayed: the reference is not
hostile, and no candidate sees these data.
"""

from __future__ import annotations

import msgspec
import numpy as np

from hipopt.device.interface import Fault
from hipopt.judge.agreement import Spreads, mismatch
from hipopt.judge.bench import Bench
from hipopt.judge.execution import Arrays
from hipopt.judge.nulls import COPY, idle
from hipopt.judge.outputs import are_written, bits
from hipopt.judge.qualified import Qualified
from hipopt.judge.spread import ORDERS, spread_of
from hipopt.judge.tolerance import Spread, is_lost, magnitude, root_mean_square
from hipopt.records import Family, Record, Workload

SEEDS = (2, 5)
"""Of the data that workloads are qualified with: one for each poison."""
MOST_LOST = 0.05
"""Share of results that may be wrong where the reference rounds otherwise; beyond it a family is
left out."""
LEAST_FINITE = 0.1
"""Share of float results that must be finite."""
LOST = "the original's own rounding error exceeds the widest tolerance"


class Look(Record, frozen=True, kw_only=True):
    """The reference seen on one family's data."""

    launch: Workload
    """With the scalars of these data."""
    before: Arrays
    after: Arrays
    spread: list[Spread] | None = None
    """None: not known."""
    any_order: bool = False
    """Whether the order of threads moves results."""
    lost: float = 0.0
    """Share of results that would be wrong if the reference rounded otherwise."""

    def spreads(self) -> list[Spread] | None:
        """As agreement asks for them."""
        return self.spread

    def scales(self) -> tuple[float, ...]:
        """For each buffer the magnitude of what was written."""
        return tuple(
            magnitude(left[bits(was) != bits(left)].astype(np.float64))
            for was, left in zip(self.before, self.after, strict=True)
        )


def look_at(bench: Bench, qualified: Qualified, family: Family) -> Look | str:
    """The reference on one family's data, or why the family doesn't count."""
    before = qualified.contents_of(family, SEEDS[0])
    launch = qualified.launch_of(family, SEEDS[0])
    after = bench.device.run(launch, before)
    if isinstance(after, Fault):
        return f"the original fails on it: {after.reason}"
    again = bench.device.again()
    if isinstance(again, Fault):
        return f"the original fails on it: {again.reason}"
    if not agrees(qualified, before, after, again):
        return "the original's results differ from run to run"
    if not any(are_written(before, after)):
        return "the original writes nothing"
    look = Look(launch=launch, before=before, after=after)
    closer = look if bench.microscope is None else _closer(bench, qualified, family, look)
    return closer if isinstance(closer, str) else _objection(bench, qualified, closer) or closer


def _closer(bench: Bench, qualified: Qualified, family: Family, look: Look) -> Look | str:
    """The look, with what a microscope shows of rounding and of orders of threads."""
    runner, workload, before = bench.microscope, look.launch, look.before
    assert runner is not None  # noqa: S101 (narrows the type)
    here = runner.run(workload, before)
    if isinstance(here, Fault) or not agrees(qualified, before, look.after, here):
        return look
    any_order = False
    for order in ORDERS:
        moved = runner.again(order)
        if isinstance(moved, Fault):
            return f"with its threads in another order the original fails: {moved.reason}"
        if not agrees(qualified, before, here, moved):
            return _order_objection(bench)
        any_order |= any(are_written(here, moved))
    spread = spread_of(runner, workload, before, in_any_order=any_order)
    if isinstance(spread, Fault):
        return look
    lost = _lost(qualified, look, spread)
    if family != "ordinary" and lost > MOST_LOST:
        return LOST
    return msgspec.structs.replace(look, spread=spread, any_order=any_order, lost=lost)


def _order_objection(bench: Bench) -> str:
    seen = bench.seen
    if seen is not None and seen.lockstep is not None and seen.race is None:
        return (
            "the original relies on lockstep, which an emulator does not offer: "
            f"{seen.lockstep.reason}"
        )
    race = f": {seen.race.reason}" if seen is not None and seen.race is not None else ""
    return f"the original's results depend on the order of its threads{race}"


def _objection(bench: Bench, qualified: Qualified, look: Look) -> str | None:
    if _mostly_not_finite(look.before, look.after):
        return "most of what the original writes is NaN or infinite"
    for name, null in idle(look.before, look.after):
        if bench.copies and name == COPY:
            continue
        if agrees(qualified, look.before, look.after, null, look.spreads):
            return f"a kernel that {name} would pass"
    return None


def agrees(
    qualified: Qualified, before: Arrays, expected: Arrays, actual: Arrays,
    spreads: Spreads | None = None,
) -> bool:  # fmt: skip
    """Whether a candidate that left `actual` would pass."""
    return mismatch(0, qualified, 0, before, expected, actual, spreads) is None


def _mostly_not_finite(before: Arrays, after: Arrays) -> bool:
    written = finite = 0
    for was, left in zip(before, after, strict=True):
        if left.dtype.kind not in "iub":
            changed = left[bits(was) != bits(left)].astype(np.float64)
            written += changed.size
            finite += int(np.isfinite(changed).sum())
    return finite < LEAST_FINITE * written


def _lost(qualified: Qualified, look: Look, spread: list[Spread]) -> float:
    """The largest share, over the buffers, of results beyond every tolerance."""
    shares = [0.0]
    rows = zip(qualified.workload.buffers, look.before, look.after, spread, strict=True)
    for buffer, was, left, moved in rows:
        changed = bits(was) != bits(left)
        if left.dtype.kind not in "iub" and changed.any():
            results = left[changed].astype(np.float64)
            scale = root_mean_square(results)
            lost = is_lost(buffer.buffer, results, moved.of(changed), scale)
            shares.append(float(lost.mean()))
    return max(shares)
