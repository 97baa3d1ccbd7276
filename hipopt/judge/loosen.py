"""How far data may vary beyond what a workload declares: as far as the reference bears it.

It bears what keeps it in bounds (in the instrumented build, too), makes no result infinite or NaN
that was finite before, and leaves the family's data such that verdicts mean something.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from hipopt.device.interface import Fault
from hipopt.judge.bench import Bench
from hipopt.judge.execution import Arrays
from hipopt.judge.look import SEEDS, Look, look_at
from hipopt.judge.qualified import Qualified
from hipopt.records import Family, Verdict
from hipopt.workload.freedom import Freedom, buffer_choices, factor_choices

PATIENCE_US = 100_000.0
"""Where a launch takes longer, all is freed at once or nothing is."""


class _Hangs(Exception):
    """The reference did not end on data that it does not expect: no more is tried."""


def look_freely(
    bench: Bench, qualified: Qualified, family: Family, written: Sequence[bool]
) -> tuple[Look | str, Freedom]:
    """The reference on one family's data, varied as far as it bears, or why none of them count.

    Args:
        bench: runs the reference.
        qualified: the workload.
        family: of the data; not `ordinary`, which are as declared.
        written: for each buffer, whether the reference changes it.
    """
    for freedom in _freedoms(bench, qualified, family, written):
        look = look_at(bench, _with(qualified, family, freedom), family)
        if isinstance(look, Look):
            return look, freedom
    return look_at(bench, qualified, family), Freedom()


def _freedoms(
    bench: Bench, qualified: Qualified, family: Family, written: Sequence[bool]
) -> Iterator[Freedom]:
    """What the reference bears, freest first."""
    buffers = buffer_choices(qualified.workload, written, qualified.outputs, family)
    factors = factor_choices(qualified.workload, family)
    if not buffers and not factors:
        return
    trial = _Trial(bench, qualified, family)
    try:
        freest = Freedom(
            buffers={index: choices[0] for index, choices in buffers.items()},
            factors=factors[0] if factors else None,
        )
        if trial.bears(freest):
            yield freest
        if qualified.launch_us > PATIENCE_US:
            return
        found = Freedom()
        for index, choices in buffers.items():
            found = trial.freest(
                found, [_replace(found, buffers={**found.buffers, index: c}) for c in choices]
            )
        found = trial.freest(found, [_replace(found, factors=factor) for factor in factors])
    except _Hangs:
        return
    if found not in (Freedom(), freest):
        yield found
    if found.buffers and found.factors:
        yield _replace(found, buffers={})
        yield _replace(found, factors=None)


class _Trial:
    """Tries data on the reference."""

    def __init__(self, bench: Bench, qualified: Qualified, family: Family) -> None:
        self._bench = bench
        self._qualified = qualified
        self._family: Family = family
        declared = self._left(Freedom(), None)
        self._finite = None if isinstance(declared, Fault) else _not_finite(declared)

    def freest(self, found: Freedom, choices: Sequence[Freedom]) -> Freedom:
        """The first choice that the reference bears, else what was found before."""
        return next((choice for choice in choices if self.bears(choice)), found)

    def bears(self, freedom: Freedom) -> bool:
        """Whether the reference gets by, with scalars at either end of their ranges."""
        ends = freedom.factors.ends if freedom.factors else (None,)
        return all(self._bears(freedom, factor) for factor in ends)

    def _bears(self, freedom: Freedom, factor: float | None) -> bool:
        left = self._left(freedom, factor)
        if isinstance(left, Fault) or self._finite is None or _not_finite(left) > self._finite:
            return False
        if not self._qualified.instrumented:
            return True
        workload = freedom.scaled(self._qualified.workload, factor)
        seen = self._bench.observe(workload, self._contents(freedom))
        self._unless_hung(seen)
        return not isinstance(seen, Fault)

    def _left(self, freedom: Freedom, factor: float | None) -> Arrays | Fault:
        workload = freedom.scaled(self._qualified.workload, factor)
        left = self._bench.device.run(workload, self._contents(freedom))
        self._unless_hung(left)
        return left

    def _contents(self, freedom: Freedom) -> Arrays:
        return _with(self._qualified, self._family, freedom).contents_of(self._family, SEEDS[0])

    def _unless_hung(self, found: object) -> None:
        if isinstance(found, Fault) and found.verdict is Verdict.TIMEOUT:
            raise _Hangs


def _with(qualified: Qualified, family: Family, freedom: Freedom) -> Qualified:
    return msgspec.structs.replace(qualified, freedoms={family: freedom})


def _replace(freedom: Freedom, **what: object) -> Freedom:
    replaced: Freedom = msgspec.structs.replace(freedom, **what)
    return replaced


def _not_finite(left: Arrays) -> int:
    """Results that are NaN or infinite."""
    floats = (array for array in left if array.dtype.kind not in "iub")
    return sum(int((~np.isfinite(array.astype(np.float64))).sum()) for array in floats)
