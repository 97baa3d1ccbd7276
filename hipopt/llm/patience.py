"""How long, and how densely, a model endpoint in trouble is asked again."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 120.0
"""Also the most of a `Retry-After` that is honoured before the endpoint is tried again."""


class Clock(Protocol):
    """Time, as far as waiting needs it."""

    def monotonic_s(self) -> float:
        """Seconds since some moment; never goes back."""

    def utc_now(self) -> datetime:
        """The time of day, aware of its zone."""

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""


class SystemClock:
    """The machine's own clock."""

    def monotonic_s(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()

    def utc_now(self) -> datetime:
        """The time of day, aware of its zone."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        time.sleep(seconds)


class Patience:
    """Waits that double, with jitter, until `patience_s` seconds have passed in all.

    Jitter keeps workers apart that an outage has brought into step.
    """

    def __init__(self, patience_s: float, clock: Clock) -> None:
        self._clock = clock
        self._began_s = clock.monotonic_s()
        self._ends_s = self._began_s + patience_s
        self._longest_s = FIRST_WAIT_S

    @property
    def spent_s(self) -> float:
        """Seconds since the first request."""
        return self._clock.monotonic_s() - self._began_s

    def wait(self, retry_after_s: float | None = None) -> bool:
        """Whether there was patience left for the next wait, which is over then."""
        wait_s = self._longest_s * random.uniform(0.5, 1.0)  # noqa: S311 (jitter, no secret)
        if retry_after_s is not None:
            wait_s = max(wait_s, min(retry_after_s, LONGEST_WAIT_S))
        if self._clock.monotonic_s() + wait_s > self._ends_s:
            return False
        self._longest_s = min(2 * self._longest_s, LONGEST_WAIT_S)
        self._clock.sleep(wait_s)
        return True


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that a response asks to wait (RFC 9110, 10.2.3); None: it doesn't say."""
    text = headers.get("retry-after", "").strip()
    seconds = _seconds(text)
    if seconds is None:
        seconds = _seconds_until(text, now)
    return None if seconds is None else max(seconds, 0.0)


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def _seconds_until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - now).total_seconds()
