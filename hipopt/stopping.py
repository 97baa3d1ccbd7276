"""Stopping on SIGINT and SIGTERM: an event that the handler sets and everybody else looks at.

Guarantee: the handler takes no lock, so a signal is heard wherever it arrives. Price: who waits
looks again every `LOOK_S`. Scope: the main thread's signals.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

LOOK_S = 0.05
"""So late at most a stop is noticed by who waits."""


class Stop(threading.Event):
    """An event that may be set from a signal's handler.

    `threading.Event` may not: a handler that interrupts its `wait` at the wrong moment asks for a
    lock that the interrupted code holds, and the process hangs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told = False

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._told

    def set(self) -> None:
        """All that wait are told within `LOOK_S`."""
        self._told = True

    def clear(self) -> None:
        """It is as if it had not been set."""
        self._told = False

    def wait(self, timeout: float | None = None) -> bool:
        """It was set, or the time is over; whether it was set."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self._told:
            left = LOOK_S if end is None else end - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(left, LOOK_S))
        return self._told


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """An event that SIGINT and SIGTERM set; a second one acts as if we had never been here."""
    stop = Stop()
    previous: dict[signal.Signals, Any] = {}

    def handle(number: int, _: FrameType | None) -> None:
        stop.set()
        signal.signal(number, previous[signal.Signals(number)])

    for name in (signal.SIGINT, signal.SIGTERM):
        previous[name] = signal.signal(name, handle)
    try:
        yield stop
    finally:
        for name, handler in previous.items():
            signal.signal(name, handler)
