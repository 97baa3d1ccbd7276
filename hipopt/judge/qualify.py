"""Whether a verdict on a workload would mean anything.

A workload counts only if the reference runs on it in bounds, repeats itself in every order of
threads, and computes something that every output depends on and that candidates which leave it
undone (null candidates, see `nulls.py`) don't get right under the very comparison that candidates
are judged by. The same is asked of each family of input data; a family that fails is left out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from hipopt.device.interface import Fault, Observation
from hipopt.judge.bench import Bench
from hipopt.judge.execution import Arrays
from hipopt.judge.look import LOST, MOST_LOST, SEEDS, Look, agrees, look_at
from hipopt.judge.loosen import look_freely
from hipopt.judge.nulls import Null, curtailed, unfinished
from hipopt.judge.outputs import are_written, bits, find_outputs
from hipopt.judge.qualified import Disqualified, Qualified
from hipopt.records import FAMILIES, RANDOM_FILLS, Buffer, Family, Verdict, Workload
from hipopt.workload.freedom import Freedom

SLOW_US = 500_000.0
"""A workload whose launches take longer is qualified on fewer families, and not curtailed."""
QUICK_FAMILIES: tuple[Family, ...] = ("ordinary", "whole")
ONE_FAMILY: tuple[Family, ...] = ("ordinary",)
"""On a workload that isn't timed: it adds a size to what others show of data and orders."""


_NARROW = frozenset({"int8", "uint8", "int16", "uint16", "float16", "bfloat16", "bool"})
_MORE_SEEDS = (5, 8, 11, 14, 17)
"""Of further data, with one poison after the other: what is written in a narrow type happens to be
the poison here and there."""


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
    found = _looks(bench, qualified)
    if isinstance(found, str):
        return Disqualified(reason=found)
    looks, freedoms, notes = found
    qualified = msgspec.structs.replace(qualified, freedoms=freedoms)
    objection = (
        _constant(bench, qualified, looks)
        or _passing(bench, qualified, looks)
        or _uncovered(bench, qualified, looks["ordinary"])
    )
    if objection:
        return Disqualified(reason=objection)
    measured = looks["ordinary"].spread is not None
    return msgspec.structs.replace(
        qualified,
        families=tuple(looks),
        scales={family: look.scales() for family, look in looks.items()},
        notes=(*qualified.notes, *notes),
        measured=measured,
        screened=measured and qualified.workload.timed,
        any_order=any(look.any_order for look in looks.values()),
    )


_Looks = tuple[dict[Family, Look], dict[Family, Freedom], list[str]]


def _looks(bench: Bench, qualified: Qualified) -> _Looks | str:
    """The families that count, what varies in them, and notes on the others.

    Why, where not even ordinary data count.
    """
    if not any(buffer.fill in RANDOM_FILLS for buffer in qualified.workload.buffers):
        return "no data are drawn, so that no output can be seen to depend on the inputs"
    looks: dict[Family, Look] = {}
    freedoms: dict[Family, Freedom] = {}
    notes: list[str] = []
    slow = qualified.launch_us > SLOW_US
    if slow:
        notes.append("fewer families of data, as a launch takes over half a second")
    few = QUICK_FAMILIES if slow else FAMILIES
    for family in few if qualified.workload.timed else ONE_FAMILY:
        if family == "ordinary":
            look, freedom = look_at(bench, qualified, family), Freedom()
        else:
            first = looks["ordinary"]
            written = are_written(first.before, first.after)
            look, freedom = look_freely(bench, qualified, family, written)
        if isinstance(look, Look):
            looks[family], freedoms[family] = look, freedom
        elif family == "ordinary":
            return look
        else:
            notes.append(f"no {family} data: {look}")
    if looks["ordinary"].lost > MOST_LOST:
        notes.append(LOST)
    return looks, freedoms, notes


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
        return _with_observation(qualified, seen, time.monotonic() - started_s)
    if seen.verdict is Verdict.OUT_OF_BOUNDS:
        return _fails(seen)
    note = f"candidates are not run instrumented, as the original fails then: {seen.reason}"
    return msgspec.structs.replace(qualified, notes=(note,))


def _with_observation(qualified: Qualified, seen: Observation, seconds: float) -> Qualified:
    notes = qualified.notes
    if seen.race is not None:
        why = f"races of candidates don't count, as the original has one: {seen.race.reason}"
        notes = (*notes, why)
    return msgspec.structs.replace(
        qualified,
        instrumented=True,
        races=seen.race is not None,
        notes=notes,
        instrumented_s=seconds,
    )


def _constant(bench: Bench, qualified: Qualified, looks: dict[Family, Look]) -> str | None:
    """The objection that an output is the same whatever the inputs are."""
    other = bench.device.run(qualified.workload, qualified.contents_of("ordinary", SEEDS[1]))
    if isinstance(other, Fault):
        return f"the original fails on it: {other.reason}"
    first, *others = (look.after for look in looks.values())
    for index, buffer in enumerate(qualified.workload.buffers):
        same = (np.array_equal(bits(first[index]), bits(o[index])) for o in (other, *others))
        if qualified.outputs[index] and all(same):
            return f"the output '{buffer.name}' doesn't depend on the inputs"
    return None


def _uncovered(bench: Bench, qualified: Qualified, look: Look) -> str | None:
    """The objection that a launch which only adds a size leaves a part of an output unwritten.

    Its grid may not be the one that the kernel's host would choose, and a candidate that hands out
    the work in another way would write another part.
    """
    if qualified.workload.timed:
        return None
    pairs = [(look.before, look.after)]
    for seed in _MORE_SEEDS:
        named = _unwritten(qualified, pairs)
        if named is None or named.buffer not in _NARROW:
            break
        before = qualified.contents_of("ordinary", seed)
        after = bench.device.run(qualified.workload, before)
        if isinstance(after, Fault):
            return f"the original fails on it: {after.reason}"
        pairs.append((before, after))
    named = _unwritten(qualified, pairs)
    return f"a part of '{named.name}' is not written" if named is not None else None


def _unwritten(qualified: Qualified, pairs: Sequence[tuple[Arrays, Arrays]]) -> Buffer | None:
    """The output of which some elements hold, in all those launches, what they held before."""
    for index, buffer in enumerate(qualified.workload.buffers):
        same = (bits(before[index]) == bits(after[index]) for before, after in pairs)
        if qualified.outputs[index] and np.logical_and.reduce(list(same)).any():
            return buffer
    return None


def _passing(bench: Bench, qualified: Qualified, looks: dict[Family, Look]) -> str | None:
    """The objection that a candidate which stops early would pass on all families.

    What makes no difference to a single bit on any of them leaves nothing undone: a grid that the
    reference strides over, blocks beyond the data, a scalar that it does not read.
    """
    passing: set[str] = set()
    moving: set[str] = set()
    for number, look in enumerate(looks.values()):
        here: set[str] = set()
        for name, null in _curtailed(bench, qualified, look):
            if agrees(qualified, look.before, look.after, null, look.spreads):
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
    slow = qualified.launch_us > SLOW_US or not qualified.workload.timed
    if bench.microscope and look.spread is not None and not slow:
        # Where orders move the sums, other blocks that take over the last one's part do so too.
        axes = "".join(set("xyz") - bench.strided) if look.any_order else "xyz"
        yield from curtailed(bench.microscope, look.launch, look.before, axes)
