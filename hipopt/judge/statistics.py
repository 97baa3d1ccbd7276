"""The statistics of a speedup: the median of paired ratios, and an interval by bootstrap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hipopt.records import Record, Verdict

RESAMPLES = 2000
CONFIDENCE = 0.99


class Interval(Record, frozen=True, kw_only=True):
    """A ratio with its bootstrap interval."""

    middle: float
    low: float
    high: float


def speedup_interval(ratios: Sequence[float]) -> Interval:
    """Median of `ratios` (reference time by candidate time, one a block) and its interval.

    Percentile bootstrap over blocks on the logarithm (Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, chapter 13), so that a ratio and its inverse are treated alike. The resampling
    is seeded: the same samples always give the same interval.
    """
    logs = np.log(np.asarray(ratios, dtype=np.float64))
    rng = np.random.default_rng(0)
    draws = rng.integers(0, logs.size, size=(RESAMPLES, logs.size))
    medians = np.median(logs[draws], axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return Interval(
        middle=float(np.exp(np.median(logs))), low=float(np.exp(low)), high=float(np.exp(high))
    )


def decide(interval: Interval, min_speedup: float) -> Verdict:
    """Faster or slower only if the whole interval clears `min_speedup`; same only if none does."""
    if interval.low >= min_speedup and interval.low > 1.0:
        return Verdict.FASTER
    if interval.high <= 1 / min_speedup and interval.high < 1.0:
        return Verdict.SLOWER
    if interval.low > 1 / min_speedup and interval.high < min_speedup:
        return Verdict.SAME
    return Verdict.INCONCLUSIVE
