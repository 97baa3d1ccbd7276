"""Whether what a candidate left in a workload's buffers is what the reference left there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hipopt.device.interface import FORWARD, Schedule
from hipopt.judge.compare import difference
from hipopt.judge.execution import Arrays
from hipopt.judge.objection import Objection
from hipopt.judge.qualified import Qualified
from hipopt.judge.tolerance import Spread
from hipopt.records import Mismatch, Verdict

Spreads = Callable[[], list[Spread] | None]
"""How far rounding moves the reference's results, for each buffer; None: it can't be told."""


def agree(
    number: int, qualified: Qualified, seed: int, before: Arrays, expected: Arrays, actual: Arrays,
    spreads: Spreads | None = None,
) -> None:  # fmt: skip
    """Returns where `actual` agrees with `expected` in every buffer of workload `number`.

    Raises:
        Objection: with `mismatch` and its evidence.
    """
    found = mismatch(number, qualified, seed, before, expected, actual, spreads)
    if found:
        raise Objection(Verdict.MISMATCH, found.describe(), mismatch=found)


def mismatch(
    number: int, qualified: Qualified, seed: int, before: Arrays, expected: Arrays, actual: Arrays,
    spreads: Spreads | None = None, schedule: Schedule = FORWARD,
) -> Mismatch | None:  # fmt: skip
    """The first buffer in which `actual` is off; None: they agree.

    Tolerances are the type's widest where `spreads` are not given or not known.
    """
    rows = zip(qualified.workload.buffers, qualified.outputs, before, expected, actual, strict=True)
    for index, (buffer, output, was, want, got) in enumerate(rows):
        spread = partial(_one, spreads, index) if spreads else None
        found = difference(
            buffer.buffer,
            was,
            want,
            got,
            poisoned=output,
            spread=spread,
            scale=qualified.scale(seed, index),
        )
        if found:
            return Mismatch(
                workload=number,
                seed=seed,
                argument=buffer.name,
                wrong=found.wrong,
                length=buffer.length,
                first_index=found.first_index,
                expected=found.expected,
                actual=found.actual,
                max_abs_error=found.max_abs_error,
                tolerance=found.tolerance,
                rtol=found.rtol,
                atol=found.atol,
                family=qualified.family(seed),
                schedule=schedule.threads,
            )
    return None


def _one(spreads: Spreads, index: int) -> Spread | None:
    known = spreads()
    return None if known is None else known[index]
