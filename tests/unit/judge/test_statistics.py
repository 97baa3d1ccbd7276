"""Speedups and their intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipopt.judge.statistics import Interval, decide, speedup_interval
from hipopt.records import Verdict


@given(st.lists(st.floats(0.1, 10), min_size=3, max_size=60))
def test_the_median_lies_in_its_interval(ratios: list[float]) -> None:
    """Whatever the samples, low <= middle <= high, and the same samples give the same interval."""
    interval = speedup_interval(ratios)
    assert interval.low <= interval.middle * (1 + 1e-12)
    assert interval.middle <= interval.high * (1 + 1e-12)
    assert interval == speedup_interval(ratios)


def test_a_ratio_and_its_inverse_are_treated_alike() -> None:
    """Swapping candidate and reference gives the inverse interval."""
    ratios = np.random.default_rng(1).lognormal(0.2, 0.1, 31)
    forward, backward = speedup_interval(ratios), speedup_interval(1 / ratios)
    assert forward.middle == pytest.approx(1 / backward.middle)
    assert forward.low == pytest.approx(1 / backward.high, rel=1e-2)


def test_outliers_do_not_move_the_speedup() -> None:
    """A few disturbed blocks leave the median where it was."""
    calm = [2.0] * 20
    assert speedup_interval([*calm, 100.0, 0.01, 50.0]).middle == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.06, 1.30, Verdict.FASTER),
        (1.04, 1.30, Verdict.INCONCLUSIVE),
        (0.97, 1.03, Verdict.SAME),
        (0.70, 0.90, Verdict.SLOWER),
        (0.90, 1.20, Verdict.INCONCLUSIVE),
        (0.93, 0.98, Verdict.INCONCLUSIVE),
    ],
)
def test_a_verdict_needs_the_whole_interval(low: float, high: float, verdict: Verdict) -> None:
    """Faster or slower is said only if the whole interval clears the least speedup."""
    interval = Interval(middle=(low * high) ** 0.5, low=low, high=high)
    assert decide(interval, 1.05) is verdict


def test_no_least_speedup_still_asks_for_more_than_one() -> None:
    """With a least speedup of 1, equal times are not called faster."""
    assert decide(Interval(middle=1.0, low=1.0, high=1.0), 1.0) is Verdict.INCONCLUSIVE
