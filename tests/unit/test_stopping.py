"""Stopping on signals."""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

import pytest

from hipopt.stopping import Stop, stop_on_signals


def wait_signalled(stop: Stop, line: int) -> bool:
    """SIGTERM comes at that line of all that run in `stop.wait`; whether there are so many."""
    left = line

    def trace(_: FrameType, event: str, __: object) -> Any:
        nonlocal left
        left -= event == "line"
        if event == "line" and left == 0:
            signal.raise_signal(signal.SIGTERM)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        stop.wait(0.02)
    finally:
        sys.settrace(before)
    return left <= 0


@pytest.mark.timeout(60)
def test_a_signal_may_come_at_any_line_of_a_wait() -> None:
    """Whichever line of `wait` SIGTERM interrupts, the wait ends and the event is set."""
    line = 1
    while True:
        with stop_on_signals() as stop:
            if not wait_signalled(stop, line):
                break
            assert stop.is_set()
        line += 1
    assert line > 4


def test_a_second_signal_acts_as_ever() -> None:
    """The first SIGINT sets the event; the second is Python's KeyboardInterrupt again."""
    with stop_on_signals() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.wait(0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_waits_is_told() -> None:
    """A wait ends when another thread sets the event, and otherwise when its time is over."""
    stop = Stop()
    assert not stop.wait(0.01)
    threading.Timer(0.05, stop.set).start()
    began = time.monotonic()
    assert stop.wait(30)
    assert time.monotonic() - began < 20
    stop.clear()
    assert not stop.is_set()
