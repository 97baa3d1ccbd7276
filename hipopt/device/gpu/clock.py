"""The device's clock against ours: a speedup rests on it.

Two lengths of the known-good kernel are timed by both clocks; what launching costs is in both and
falls out of the difference. Each further try is twice as long, so that a busy host, which delays
the calls around a launch, matters less and less.
"""

from __future__ import annotations

import math

from hipopt.device.gpu.attempt import Took
from hipopt.device.gpu.knowngood import KnownGood

TOLERANCE = 0.05
"""How far the clocks may be apart, as a share."""
SHORT_US = 10_000.0
"""The first try's shorter launch."""
TRIES = 5
_FEWEST_ROUNDS = 1 << 12
_MOST_ROUNDS = 1 << 30
_BLOCKS = 4


def calibrate(good: KnownGood) -> float:
    """The device's time by ours: 1 where the clocks agree; the best of up to `TRIES` tries.

    Raises:
        Stopped, Wrong: the known-good kernel fails.
    """
    rounds = _rounds_of(good, SHORT_US)
    best = _ratio(good, rounds)
    for number in range(1, TRIES):
        if agree(best):
            break
        best = min(best, _ratio(good, rounds << number), key=lambda ratio: abs(ratio - 1))
    return best


def agree(ratio: float) -> bool:
    """Whether times of that clock can be trusted."""
    return abs(ratio - 1) <= TOLERANCE


def _rounds_of(good: KnownGood, least_us: float) -> int:
    """Rounds that take about so long by our clock, or longer."""
    rounds = _FEWEST_ROUNDS
    while rounds < _MOST_ROUNDS:
        wall_us = good.run(_BLOCKS, rounds).wall_us
        if wall_us >= least_us:
            break
        rounds *= 2 ** math.ceil(math.log2(max(least_us / wall_us, 2.0)))
    return rounds


def _ratio(good: KnownGood, rounds: int) -> float:
    short, long = good.run(_BLOCKS, rounds), good.run(_BLOCKS, 2 * rounds)
    return _apart(short, long)


def _apart(short: Took, long: Took) -> float:
    wall_us = long.wall_us - short.wall_us
    return (long.device_us - short.device_us) / wall_us if wall_us > 0 else 0.0
