"""Whether what a candidate left in a workload's buffers is what the reference left there."""

from __future__ import annotations

from hipopt.judge.compare import difference
from hipopt.judge.execution import Arrays
from hipopt.judge.objection import Objection
from hipopt.judge.qualify import Qualified
from hipopt.records import Mismatch, Verdict


def agree(
    number: int, qualified: Qualified, seed: int, before: Arrays, expected: Arrays, actual: Arrays
) -> None:
    """Returns where `actual` agrees with `expected` in every buffer of workload `number`.

    Raises:
        Objection: with `mismatch` and its evidence.
    """
    found = mismatch(number, qualified, seed, before, expected, actual)
    if found:
        raise Objection(Verdict.MISMATCH, found.describe(), mismatch=found)


def mismatch(
    number: int, qualified: Qualified, seed: int, before: Arrays, expected: Arrays, actual: Arrays
) -> Mismatch | None:
    """The first buffer in which `actual` is off; None: they agree."""
    rows = zip(qualified.workload.buffers, qualified.outputs, before, expected, actual, strict=True)
    for buffer, output, was, want, got in rows:
        found = difference(buffer.buffer, was, want, got, poisoned=output)
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
                rtol=found.tolerance.rtol,
                atol=found.tolerance.atol,
            )
    return None
