"""Whether a verdict on a workload would mean anything.

A workload counts only if the reference runs on it in bounds, repeats itself in every order of
threads, and computes something that every output depends on and that candidates which leave it
undone (null candidates, see `nulls.py`) don't get right under the very comparison that candidates
are judged by. The same is asked of each family of input data; a family that fails is left out.

Everything here is drawn from fixed seeds, so that a verdict can be replayed: the reference is not
hostile, and no candidate sees these data.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from hipopt.device.interface import Fault, Observation
from hipopt.judge.agreement import Spreads, mismatch
from hipopt.judge.bench import Bench
from hipopt.judge.execution import Arrays
from hipopt.judge.nulls import Null, curtailed, idle, unfinished
from hipopt.judge.outputs import are_written, bits, find_outputs
from hipopt.judge.qualified import Disqualified, Qualified
from hipopt.judge.spread import ORDERS, spread_of
from hipopt.judge.tolerance import Spread, is_lost, root_mean_square
from hipopt.records import FAMILIES, RANDOM_FILLS, Buffer, Family, Record, Verdict, Workload

SEEDS = (2, 5)
"""Of the data that workloads are qualified with: one for each poison."""
MOST_LOST = 0.05
"""Share of results that may be wrong where the reference rounds otherwise; beyond it a family is
left out."""
LEAST_FINITE = 0.1
"""Share of float results that must be finite."""


SLOW_US = 500_000.0
"""A workload whose launches take longer is qualified on two families, and not curtailed."""


class Look(Record, frozen=True, kw_only=True):
    """The reference seen on one family's data."""

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


def qualify(bench: Bench, workload: Workload, const: Sequence[bool]) -> Qualified | Disqualified:
    """The workload with all that is known of the reference on it, or why it doesn't count.

    Args:
        bench: runs the reference.
        workload: the launch to look at.
        const: for each buffer, whether the kernel takes it as a pointer to const.
    """
    outputs = find_outputs(bench.device, workload, const, SEEDS[0])
    if isinstance(outputs, Fault):
        return _fails(outputs)
    launch_us = bench.device.time_us
    qualified = _observed(bench, Qualified(workload=workload, outputs=outputs, launch_us=launch_us))
    if isinstance(qualified, Disqualified):
        return qualified
    looks: dict[Family, Look] = {}
    notes = list(qualified.notes)
    for family in _families(qualified):
        look = _look(bench, qualified, family)
        objection = look if isinstance(look, str) else _objection(qualified, look)
        if objection is None and not isinstance(look, str):
            looks[family] = look
            continue
        if family == "ordinary":
            return Disqualified(reason=objection or "")
        notes.append(f"no {family} data: {objection}")
    objection = _other_data(bench, qualified, looks["ordinary"]) or _passing(
        bench, qualified, looks
    )
    if objection:
        return Disqualified(reason=objection)
    measured = looks["ordinary"].spread is not None
    if looks.keys() < set(FAMILIES) and qualified.launch_us > SLOW_US:
        notes.append("fewer families of data, as a launch takes over half a second")
    if looks["ordinary"].lost > MOST_LOST:
        notes.append("the original's own rounding error exceeds the widest tolerance")
    return msgspec.structs.replace(
        qualified,
        families=tuple(looks),
        scales={family: _scales(look) for family, look in looks.items()},
        notes=tuple(notes),
        measured=measured,
        screened=measured,
        any_order=any(look.any_order for look in looks.values()),
    )


def _families(qualified: Qualified) -> tuple[Family, ...]:
    """Those to look at: fewer where launches are slow, one where a seed changes nothing."""
    if not _draws(qualified.workload):
        return FAMILIES[:1]
    return ("ordinary", "whole") if qualified.launch_us > SLOW_US else FAMILIES


def _fails(fault: Fault) -> Disqualified:
    return Disqualified(
        reason=f"the original fails on it: {fault.reason}",
        by_fault=fault.verdict is not Verdict.REJECTED,
    )


def _observed(bench: Bench, qualified: Qualified) -> Qualified | Disqualified:
    """The workload with what the reference shows in the instrumented build."""
    before = qualified.contents_of("ordinary", SEEDS[0])
    started_s = time.monotonic()
    seen = bench.observe(qualified.workload, before)
    if seen is None:
        return qualified
    if isinstance(seen, Observation):
        race = seen.race
        note = (
            f"races of candidates don't count, as the original has one: {race.reason}"
            if race
            else ""
        )
        return msgspec.structs.replace(
            qualified,
            instrumented=True,
            races=race is not None,
            notes=(note,) if race else (),
            instrumented_s=time.monotonic() - started_s,
        )
    if seen.verdict is Verdict.OUT_OF_BOUNDS:
        return _fails(seen)
    note = f"candidates are not run instrumented, as the original fails then: {seen.reason}"
    return msgspec.structs.replace(qualified, notes=(note,))


def _look(bench: Bench, qualified: Qualified, family: Family) -> Look | str:
    """The reference on one family's data, or why the family doesn't count."""
    workload, before = qualified.workload, qualified.contents_of(family, SEEDS[0])
    after = bench.device.run(workload, before)
    again = after if isinstance(after, Fault) else bench.device.again()
    if isinstance(after, Fault) or isinstance(again, Fault):
        return f"the original fails on it: {(after if isinstance(after, Fault) else again).reason}"  # type: ignore[union-attr]
    if not _agree(qualified, before, after, again):
        return "the original's results differ from run to run"
    if not any(are_written(before, after)):
        return "the original writes nothing"
    look: Look | str = Look(before=before, after=after)
    if bench.microscope is not None and isinstance(look, Look):
        look = _closer(bench, qualified, family, look)
    if isinstance(look, Look) and _mostly_not_finite(before, after):
        return "most of what the original writes is NaN or infinite"
    return look


def _closer(bench: Bench, qualified: Qualified, family: Family, look: Look) -> Look | str:
    """The look, with what a microscope shows of rounding and of orders of threads."""
    runner, workload, before = bench.microscope, qualified.workload, look.before
    assert runner is not None  # noqa: S101 (narrows the type)
    here = runner.run(workload, before)
    if isinstance(here, Fault) or not _agree(qualified, before, look.after, here):
        return look
    any_order = False
    for order in ORDERS:
        moved = runner.again(order)
        if isinstance(moved, Fault):
            return f"with its threads in another order the original fails: {moved.reason}"
        if not _agree(qualified, before, here, moved):
            return _order_objection(bench)
        any_order |= any(are_written(here, moved))
    spread = spread_of(runner, workload, before, in_any_order=any_order)
    if isinstance(spread, Fault):
        return look
    lost = _lost(qualified, look, spread)
    if family != "ordinary" and lost > MOST_LOST:
        return "the original's own rounding error exceeds the widest tolerance"
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


def _objection(qualified: Qualified, look: Look) -> str | None:
    for name, null in idle(look.before, look.after):
        if _agree(qualified, look.before, look.after, null, look.spreads):
            return f"a kernel that {name} would pass"
    return None


def _other_data(bench: Bench, qualified: Qualified, look: Look) -> str | None:
    """The objection that an output does not depend on the inputs."""
    if not _draws(qualified.workload):
        return None
    other = bench.device.run(qualified.workload, qualified.contents_of("ordinary", SEEDS[1]))
    if isinstance(other, Fault):
        return f"the original fails on it: {other.reason}"
    for buffer, output, a, b in zip(
        qualified.workload.buffers, qualified.outputs, look.after, other, strict=True
    ):
        if output and np.array_equal(bits(a), bits(b)):
            return f"the output '{buffer.name}' doesn't depend on the inputs"
    return None


def _passing(bench: Bench, qualified: Qualified, looks: dict[Family, Look]) -> str | None:
    """The objection that a candidate which stops early would pass on all families.

    What makes no difference to a single bit on any of them leaves nothing undone.
    """
    passing: set[str] = set()
    moving: set[str] = set()
    for number, look in enumerate(looks.values()):
        here: set[str] = set()
        for name, null in _curtailed(bench, qualified, look):
            if _agree(qualified, look.before, look.after, null, look.spreads):
                here.add(name)
                if any(are_written(look.after, null)):
                    moving.add(name)
        passing = here & passing if number else here
        if not passing:
            return None
    named = sorted(passing & moving)
    return f"a kernel that {named[0]} would pass" if named else None


def _curtailed(bench: Bench, qualified: Qualified, look: Look) -> Iterator[Null]:
    yield from unfinished(qualified.workload, look.before, look.after)
    if bench.microscope and look.spread is not None and qualified.launch_us <= SLOW_US:
        yield from curtailed(bench.microscope, qualified.workload, look.before)


def _agree(
    qualified: Qualified, before: Arrays, expected: Arrays, actual: Arrays,
    spreads: Spreads | None = None,
) -> bool:  # fmt: skip
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


def _scales(look: Look) -> tuple[float, ...]:
    """For each buffer the root mean square of what was written."""
    return tuple(
        root_mean_square(left[bits(was) != bits(left)].astype(np.float64))
        for was, left in zip(look.before, look.after, strict=True)
    )


def _draws(workload: Workload) -> bool:
    """Whether a seed changes anything that the reference might read."""
    return any(isinstance(a, Buffer) and a.fill in RANDOM_FILLS for a in workload.args)
