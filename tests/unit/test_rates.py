"""How fast a run goes, by its rows' times."""

from __future__ import annotations

import random

import pytest

from hipopt.rates import RECENT_S, Rates, rates, seconds_left

NOW = 1_000_000.0


def steady(count: int, every_s: float, until: float = NOW) -> list[float]:
    return [until - every_s * k for k in reversed(range(count))]


def test_a_steady_run() -> None:
    """A kernel every six seconds is ten a minute, now and overall, in whatever order rows stand."""
    times = steady(200, 6.0)
    random.Random(1).shuffle(times)
    found = rates(times, NOW)
    assert found.recent == pytest.approx(10.0)
    assert found.overall == pytest.approx(10.0)
    assert found.active_s == pytest.approx(199 * 6.0)
    assert seconds_left(50, found) == pytest.approx(300.0)


def test_a_pause_is_no_work() -> None:
    """A run that was stopped overnight is as fast overall as it was while it ran."""
    found = rates(steady(100, 6.0, NOW - 50_000) + steady(100, 6.0), NOW)
    assert found.overall == pytest.approx(10.0)
    assert found.active_s == pytest.approx(2 * 99 * 6.0)


def test_what_is_now_begins_where_the_run_went_on() -> None:
    """Shortly after a pause, the pace is that of the minutes since."""
    found = rates(steady(100, 60.0, NOW - 50_000) + steady(11, 6.0), NOW)
    assert found.recent_s == pytest.approx(60.0)
    assert found.recent == pytest.approx(10.0)


def test_a_run_that_stands_still() -> None:
    """Nothing finished for minutes: the pace is 0 and there is no telling when it will end."""
    found = rates(steady(100, 6.0, NOW - 2 * RECENT_S), NOW)
    assert found.recent == 0.0
    assert seconds_left(5, found) is None
    assert found.overall == pytest.approx(10.0)


def test_a_clock_that_is_ahead() -> None:
    """Rows from the future count as finished now."""
    found = rates([*steady(100, 6.0), NOW + 90_000, NOW + 90_001], NOW)
    assert found.recent == pytest.approx(10.4)
    assert found.active_s == pytest.approx(99 * 6.0)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_to_tell(count: int) -> None:
    """A handful of rows gives no pace."""
    found = rates(steady(count, 6.0), NOW)
    assert (found.recent, found.overall) == (None, None)
    assert seconds_left(5, found) is None


def test_nothing_left_takes_no_time() -> None:
    """Whatever the pace; and how long an unknown number takes is unknown."""
    assert seconds_left(0, Rates()) == 0.0
    assert seconds_left(None, Rates(overall=5.0)) is None
