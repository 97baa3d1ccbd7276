"""The statistics of a speedup: the median of blocks' ratios, its interval, the noise, the verdict.

Launches of one process share its luck: where it lies in memory makes all of them faster or slower.
So a round, which is a fresh process of each kernel, is the unit that is drawn again, not a block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hipopt.records import Record, Verdict

Rounds = Sequence[Sequence[float]]
"""Ratios of times, one a block, by round."""

RESAMPLES = 1000
CONFIDENCE = 0.99
LEAST_FLOOR = 1.01
"""A ratio that is never told from noise, however calm the machine is: where a compiler happens to
put the same code makes it up to some 1 % faster or slower, and one second build samples that once.
"""

_STUDENT = (
    63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169,
    3.106, 3.055, 3.012, 2.977, 2.947, 2.921, 2.898, 2.878, 2.861, 2.845,
)  # fmt: skip
"""Student's t at 99 %, two-sided, for 1 to 20 degrees of freedom; beyond, the last is wider."""

_LEAST_JUMP = 0.03
_TYPICAL_JUMPS = 4.0


class Interval(Record, frozen=True, kw_only=True):
    """A ratio with its interval."""

    middle: float
    low: float
    high: float


def speedup_interval(rounds: Rounds) -> Interval:
    """The median of all blocks' ratios and its 99 % interval, drawn over rounds.

    The standard error of the median logarithm comes from a bootstrap that draws whole rounds
    (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). With few
    rounds that is too small, and the normal distribution too narrow: both are corrected as in
    Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69, 2015,
    section 3.2. On the logarithm a ratio and its inverse are treated alike. The drawing is seeded:
    the same rounds give the same interval.

    Args:
        rounds: at least one block in each.

    Raises:
        ValueError: fewer than two rounds, which say nothing of the next one.
    """
    count = len(rounds)
    if count < 2:
        raise ValueError(f"an interval needs two rounds or more, got {count}")
    logs = _table(rounds)
    drawn = np.random.default_rng(0).integers(0, count, size=(RESAMPLES, count))
    medians = _medians(logs[drawn].reshape(RESAMPLES, -1))
    error = float(np.std(medians)) * math.sqrt(count / (count - 1))
    middle = float(_medians(logs.reshape(1, -1))[0])
    reach = error * _STUDENT[min(count - 1, len(_STUDENT)) - 1]
    return Interval(
        middle=math.exp(middle), low=math.exp(middle - reach), high=math.exp(middle + reach)
    )


def noise_floor(null: Interval) -> float:
    """The least ratio, 1 or more, that stands out from what two builds of one kernel differ by.

    Args:
        null: the interval of the reference beside a second build of itself.
    """
    return max(LEAST_FLOOR, null.high, 1 / null.low)


def decide(interval: Interval, floor: float, min_speedup: float) -> Verdict:
    """What the interval of a speedup says beside the noise and the least speedup asked for.

    Faster: the whole interval is above both. Slower: the whole interval is below 1 by more than
    the noise. Same: neither, and the whole interval is within the least speedup either way.
    """
    if interval.low >= min_speedup and interval.low > floor:
        return Verdict.FASTER
    if interval.high < 1 / floor:
        return Verdict.SLOWER
    if interval.low > 1 / min_speedup and interval.high < min_speedup:
        return Verdict.SAME
    return Verdict.INCONCLUSIVE


def is_settled(interval: Interval, floor: float, min_speedup: float) -> bool:
    """Whether more rounds are not worth their time.

    Same is settled only where the kernels may be equally fast: otherwise more rounds may show that
    the candidate is slower.
    """
    verdict = decide(interval, floor, min_speedup)
    alike = interval.low <= LEAST_FLOOR and interval.high >= 1 / LEAST_FLOOR
    return verdict in {Verdict.FASTER, Verdict.SLOWER} or (verdict is Verdict.SAME and alike)


_SAG = 0.9
"""A clock below this share of its median has sagged: by heat, by power, or by another's work."""


def calm(jumps: Sequence[float]) -> list[bool]:
    """For each block, whether the machine left it alone.

    Args:
        jumps: how far equal launches within each block were apart, as logarithms, 0 or more.
    """
    bound = max(_LEAST_JUMP, _TYPICAL_JUMPS * float(np.median(jumps)))
    return [jump <= bound for jump in jumps]


def steady(clocks_mhz: Sequence[float | None]) -> list[bool]:
    """For each block, whether the device's clock had not sagged, as far as it is known.

    By the median: at least half of the blocks have not.

    Args:
        clocks_mhz: the lowest that the device showed in each block; None: it showed none.
    """
    known = [clock for clock in clocks_mhz if clock is not None]
    bound = _SAG * float(np.median(known)) if known else 0.0
    return [clock is None or clock >= bound for clock in clocks_mhz]


def _table(rounds: Rounds) -> NDArray[np.float64]:
    """Logarithms, one row a round, filled up with NaN."""
    table = np.full((len(rounds), max(map(len, rounds))), np.nan)
    for row, ratios in zip(table, rounds, strict=True):
        row[: len(ratios)] = np.log(ratios)
    return table


def _medians(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The median of each row, NaN left out."""
    ordered = np.sort(rows, axis=1)  # NaN comes last
    count = np.sum(~np.isnan(ordered), axis=1)
    each = np.arange(len(rows))
    middle: NDArray[np.float64] = (ordered[each, (count - 1) // 2] + ordered[each, count // 2]) / 2
    return middle
