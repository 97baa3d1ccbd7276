"""Speedups, their intervals, the noise floor, and how often verdicts err on simulated noise."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipopt.judge.statistics import (
    LEAST_FLOOR,
    Interval,
    calm,
    decide,
    is_settled,
    noise_floor,
    speedup_interval,
)
from hipopt.records import Verdict

Table = list[list[float]]

RATIOS = st.lists(st.lists(st.floats(0.1, 10), min_size=1, max_size=3), min_size=2, max_size=20)


def simulated(rng: np.random.Generator, speedup: float, rounds: int, blocks: int = 2) -> Table:
    """Ratios with the noise of a busy machine: rounds that differ, some blocks far off."""
    shared = rng.normal(0, 0.006, (rounds, 1)) - 0.1 * (rng.random((rounds, 1)) < 0.05)
    own = rng.normal(0, 0.012, (rounds, blocks)) + 0.1 * (rng.random((rounds, blocks)) < 0.03)
    table: Table = (speedup * np.exp(shared + own)).tolist()
    return table


@given(RATIOS)
@settings(max_examples=50)
def test_the_median_lies_in_its_interval(rounds: Table) -> None:
    """Whatever the samples, low <= middle <= high, and the same samples give the same interval."""
    interval = speedup_interval(rounds)
    assert interval.low <= interval.middle * (1 + 1e-12)
    assert interval.middle <= interval.high * (1 + 1e-12)
    assert interval == speedup_interval(rounds)
    every = [ratio for ratios in rounds for ratio in ratios]
    assert interval.middle == pytest.approx(math.exp(np.median(np.log(every))))


@given(RATIOS)
@settings(max_examples=50)
def test_a_ratio_and_its_inverse_are_treated_alike(rounds: Table) -> None:
    """Swapping candidate and reference gives the inverse interval."""
    forward = speedup_interval(rounds)
    backward = speedup_interval([[1 / ratio for ratio in ratios] for ratios in rounds])
    assert forward.middle == pytest.approx(1 / backward.middle)
    assert forward.low == pytest.approx(1 / backward.high)


def test_one_round_has_no_interval() -> None:
    """However many blocks it has: they share a process's luck."""
    with pytest.raises(ValueError, match="two rounds"):
        speedup_interval([[1.0] * 50])


def test_what_a_round_shares_is_not_averaged_away_by_its_blocks() -> None:
    """More blocks in rounds that differ leave the interval as wide as the rounds make it."""
    few = speedup_interval([[0.95], [1.05], [0.97], [1.03], [1.0], [1.0]])
    many = speedup_interval([[r] * 40 for r in (0.95, 1.05, 0.97, 1.03, 1.0, 1.0)])
    assert many.high / many.low == pytest.approx(few.high / few.low)


def test_outliers_do_not_move_the_speedup() -> None:
    """A few disturbed blocks leave the median where it was."""
    calm_rounds = [[2.0, 2.0] for _ in range(10)]
    calm_rounds[0][0], calm_rounds[3][1], calm_rounds[7][0] = 100.0, 0.01, 50.0
    assert speedup_interval(calm_rounds).middle == pytest.approx(2.0)


@pytest.mark.parametrize("rounds", [3, 6, 12, 30])
def test_the_interval_holds_the_truth_as_often_as_it_says(rounds: int) -> None:
    """Rounds that share an offset, few or many: at least 98.5 of 100 99 % intervals cover."""
    rng = np.random.default_rng(rounds)
    intervals = [speedup_interval(simulated(rng, 1.1, rounds)) for _ in range(400)]
    covered = sum(interval.low <= 1.1 <= interval.high for interval in intervals)
    assert covered >= 0.985 * len(intervals)


def verdict_on(rng: np.random.Generator, speedup: float, min_speedup: float) -> Verdict:
    """The verdict of one measurement that looks at its rounds again and again, as they come."""
    ratios, nulls = simulated(rng, speedup, 40), simulated(rng, 1.0, 40)
    looks = [6, 8, 11, 14, 18, 23, 29, 37, 40]
    for look in looks:
        interval = speedup_interval(ratios[:look])
        floor = noise_floor(speedup_interval(nulls[:look]))
        if is_settled(interval, floor, min_speedup):
            break
    return decide(interval, floor, min_speedup)


def test_equal_kernels_are_not_told_apart() -> None:
    """Looking several times included: at most 1 in 200 is called faster or slower."""
    rng = np.random.default_rng(5)
    verdicts = [verdict_on(rng, 1.0, 1.05) for _ in range(400)]
    assert sum(v in {Verdict.FASTER, Verdict.SLOWER} for v in verdicts) <= 2


@pytest.mark.parametrize(
    ("speedup", "min_speedup", "verdict"),
    [(1 / 1.05, 1.05, Verdict.SLOWER), (1.05, 1.02, Verdict.FASTER)],
)
def test_five_percent_are_told_apart(speedup: float, min_speedup: float, verdict: Verdict) -> None:
    """In at least 95 of 100 measurements; no least speedup is asked for where it is slower."""
    rng = np.random.default_rng(6)
    verdicts = [verdict_on(rng, speedup, min_speedup) for _ in range(100)]
    assert sum(v is verdict for v in verdicts) >= 95


def test_a_speedup_below_the_one_asked_for_is_hardly_ever_faster() -> None:
    """A kernel 3 % faster where 5 % are asked for: at most 1 in 100."""
    rng = np.random.default_rng(7)
    verdicts = [verdict_on(rng, 1.03, 1.05) for _ in range(100)]
    assert sum(v is Verdict.FASTER for v in verdicts) <= 1


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.06, 1.30, Verdict.FASTER),
        (1.04, 1.30, Verdict.INCONCLUSIVE),
        (0.97, 1.03, Verdict.SAME),
        (0.99, 1.03, Verdict.SAME),
        (0.70, 0.90, Verdict.SLOWER),
        (0.96, 0.97, Verdict.SLOWER),
        (0.96, 0.99, Verdict.SAME),
        (0.90, 1.20, Verdict.INCONCLUSIVE),
        (0.93, 0.99, Verdict.INCONCLUSIVE),
    ],
)
def test_a_verdict_needs_the_whole_interval(low: float, high: float, verdict: Verdict) -> None:
    """Faster clears the least speedup; slower needs to clear the noise alone."""
    interval = Interval(middle=(low * high) ** 0.5, low=low, high=high)
    assert decide(interval, 1.02, 1.05) is verdict


def test_faster_clears_the_noise_too() -> None:
    """Where the noise is larger than the least speedup asked for, it is the noise that counts."""
    interval = Interval(middle=1.1, low=1.06, high=1.14)
    assert decide(interval, 1.02, 1.05) is Verdict.FASTER
    assert decide(interval, 1.07, 1.05) is Verdict.INCONCLUSIVE


def test_no_least_speedup_still_asks_for_more_than_the_noise() -> None:
    """With a least speedup of 1, equal times are not called faster."""
    exact = Interval(middle=1.0, low=1.0, high=1.0)
    assert decide(exact, LEAST_FLOOR, 1.0) is Verdict.INCONCLUSIVE


def test_same_is_not_settled_while_it_may_be_slower() -> None:
    """An interval beside 1 that the noise still covers waits for more rounds."""
    beside = Interval(middle=0.965, low=0.955, high=0.975)
    assert decide(beside, 1.04, 1.05) is Verdict.SAME
    assert not is_settled(beside, 1.04, 1.05)
    assert is_settled(Interval(middle=0.99, low=0.97, high=1.01), 1.04, 1.05)


@given(st.floats(0.8, 1.2), st.floats(1.0, 1.2))
def test_the_noise_floor_is_the_far_end_of_the_null(middle: float, width: float) -> None:
    """Whichever build is the faster one; and never below what layout alone can do."""
    null = Interval(middle=middle, low=middle / width, high=middle * width)
    flipped = Interval(middle=1 / middle, low=1 / null.high, high=1 / null.low)
    assert noise_floor(null) == pytest.approx(noise_floor(flipped))
    assert noise_floor(null) >= max(LEAST_FLOOR, null.high)


@given(st.lists(st.floats(0, 2), min_size=1, max_size=60))
def test_most_blocks_are_calm(jumps: list[float]) -> None:
    """Whatever the jumps, no more than half are thrown away, and always the largest first."""
    flags = calm(jumps)
    assert 2 * sum(flags) >= len(jumps)
    ordered = [flag for _, flag in sorted(zip(jumps, flags, strict=True), key=lambda row: row[0])]
    assert all(a >= b for a, b in pairwise(ordered))


def test_a_disturbed_block_stands_out() -> None:
    """A tenth between equal launches where two in a hundred are usual."""
    assert calm([0.01, 0.02, 0.1, 0.0, 0.015]) == [True, True, False, True, True]
