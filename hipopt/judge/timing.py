"""Reference and candidate timed side by side on one device."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

from hipopt.device.interface import Fault, Session
from hipopt.judge.objection import Objection, unless_fault
from hipopt.judge.statistics import CONFIDENCE, Interval, decide, speedup_interval
from hipopt.records import Record, Timing, Verdict

WARM_UPS = 2
MIN_BLOCKS = 9
MAX_BLOCKS = 60
BUDGET_S = 4.0
"""Wall seconds after which a comparison that can't be told is given up as inconclusive."""
CHECK_EVERY = 8
"""Blocks between two looks at whether the interval already decides."""


class Sampled(Record, frozen=True, kw_only=True):
    """The times of both kernels, one pair a block, µs."""

    reference_us: tuple[float, ...]
    candidate_us: tuple[float, ...]

    def __add__(self, other: Sampled) -> Sampled:
        return Sampled(
            reference_us=self.reference_us + other.reference_us,
            candidate_us=self.candidate_us + other.candidate_us,
        )

    def interval(self) -> Interval:
        """The speedup with its interval."""
        pairs = zip(self.reference_us, self.candidate_us, strict=True)
        return speedup_interval([reference / candidate for reference, candidate in pairs])


def sample(
    reference: Session,
    candidate: Session,
    timeout_s: float,
    min_speedup: float,
    inspect: Callable[[], None],
) -> Sampled:
    """Times of both sessions' loaded launches, interleaved in random order.

    Every block launches each kernel once; which goes first is drawn anew for every block. After
    each candidate launch `inspect` looks at what it left behind.

    Raises:
        Objection: a launch did not end well; `reference_error` if it was the reference's.
    """
    times: dict[int, list[float]] = {id(reference): [], id(candidate): []}

    def launch(session: Session) -> float:
        launched = session.launch(timeout_s)
        if isinstance(launched, Fault) and session is reference:
            raise Objection(Verdict.REFERENCE_ERROR, f"the original failed: {launched.reason}")
        return unless_fault(launched).time_us

    order = [reference, candidate]
    for session in order * WARM_UPS:
        launch(session)
    give_up_at = time.monotonic() + BUDGET_S
    while not _enough(times[id(reference)], times[id(candidate)], min_speedup, give_up_at):
        random.shuffle(order)
        for session in order:
            times[id(session)].append(launch(session))
            if session is candidate:
                inspect()
    return Sampled(
        reference_us=tuple(times[id(reference)]), candidate_us=tuple(times[id(candidate)])
    )


def _enough(
    reference_us: list[float], candidate_us: list[float], min_speedup: float, give_up_at: float
) -> bool:
    blocks = len(reference_us)
    if blocks < MIN_BLOCKS:
        return False
    if blocks >= MAX_BLOCKS or time.monotonic() > give_up_at:
        return True
    if (blocks - MIN_BLOCKS) % CHECK_EVERY:
        return False
    so_far = Sampled(reference_us=tuple(reference_us), candidate_us=tuple(candidate_us))
    return decide(so_far.interval(), min_speedup) is not Verdict.INCONCLUSIVE


def summarise(sampled: Sampled, workload: int, *, emulated: bool) -> Timing:
    """The record of a comparison on workload number `workload`."""
    interval = sampled.interval()
    return Timing(
        speedup=interval.middle,
        low=interval.low,
        high=interval.high,
        confidence=CONFIDENCE,
        blocks=len(sampled.reference_us),
        reference_time_us=statistics.median(sampled.reference_us),
        candidate_time_us=statistics.median(sampled.candidate_us),
        workload=workload,
        emulated=emulated,
    )
