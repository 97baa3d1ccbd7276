"""How fast a run goes, from when its kernels were finished.

Rows come from several hosts and several days: a pause in which nothing ran counts as no time, and a
clock that is ahead can't make anything finish in the future.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from hipopt.records import Record

RECENT_S = 300.0
"""What counts as now."""
PAUSE_S = 1800.0
"""Between two finished kernels of a run that is at work; more, and it was stopped meanwhile."""
FEWEST = 3
"""Kernels below which a rate says nothing."""


class Rates(Record, frozen=True, kw_only=True):
    """Kernels finished per minute."""

    recent: float | None = None
    """Over the last `recent_s`; None: too few rows to tell. 0.0: nothing was finished in them."""
    recent_s: float = RECENT_S
    """Up to five minutes, fewer where the run began or went on within them."""
    overall: float | None = None
    """Over all the time that the run was at work."""
    active_s: float = 0.0
    """That time: from the first row to the last, pauses left out."""


def rates(finished: Iterable[float], now: float) -> Rates:
    """The rates of a log.

    Args:
        finished: of each row that tells, in seconds since 1970; in any order.
        now: the time at which we look, likewise.
    """
    times = sorted(min(moment, now) for moment in finished)
    steps = [later - earlier for earlier, later in pairwise(times)]
    active_s = sum(step for step in steps if step <= PAUSE_S)
    working = sum(step <= PAUSE_S for step in steps)
    overall = working / active_s * 60 if active_s > 0 and working >= FEWEST else None
    recent, recent_s = _recent(times, steps, now)
    return Rates(recent=recent, recent_s=recent_s, overall=overall, active_s=active_s)


def _recent(times: list[float], steps: list[float], now: float) -> tuple[float | None, float]:
    """The rate over the last minutes, and how many seconds those are."""
    if not times:
        return None, RECENT_S
    resumed = next((n + 1 for n in reversed(range(len(steps))) if steps[n] > PAUSE_S), 0)
    span_s = now - times[resumed]
    if span_s >= RECENT_S:
        return sum(moment > now - RECENT_S for moment in times) / RECENT_S * 60, RECENT_S
    count = len(times) - resumed - 1  # the first one began before what it marks
    if count < FEWEST or span_s <= 0:
        return None, span_s
    return count / span_s * 60, span_s


def seconds_left(left: int | None, known: Rates) -> float | None:
    """How long the kernels that are left will take at this pace; None: there is no telling."""
    if left is None:
        return None
    pace = known.overall if known.recent is None else known.recent
    if left <= 0:
        return 0.0
    return left / pace * 60 if pace else None
