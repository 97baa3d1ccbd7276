"""Reference, its second build and candidate timed side by side, a round at a time.

A round is a fresh session of each, on data and at addresses of its own. Within it each block
launches every kernel twice, in a random order and then in the reverse of it, so that a machine that
slows down or speeds up evenly does so for all alike. Blocks that were disturbed, or in which the
device's clock sagged, are thrown away by what befell the reference and its second build: a
candidate has no say in which of its launches count.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from functools import cached_property

from hipopt.device.interface import Fault, Launched, Session
from hipopt.judge.objection import Objection, unless_fault
from hipopt.judge.statistics import (
    CONFIDENCE,
    Interval,
    calm,
    decide,
    is_settled,
    noise_floor,
    speedup_interval,
    steady,
)  # fmt: skip
from hipopt.records import Timing, Verdict

BLOCKS = 2
"""Blocks of a round."""
STEADY = 0.05
"""A kernel is warm once a launch is no more than this share faster than the one before."""
MOST_WARM_UPS = 8

PLAIN = 1.2
"""A ratio that no noise of one kernel comes near."""

Pair = tuple[float, float]


class Block:
    """Two launches of each kernel, µs; the device's lowest clock in those of the first two."""

    def __init__(
        self, reference_us: Pair, twin_us: Pair, candidate_us: Pair, clock_mhz: float | None = None
    ) -> None:
        self.clock_mhz = clock_mhz
        self.reference_us = reference_us
        self.twin_us = twin_us
        self.candidate_us = candidate_us

    @property
    def speedup(self) -> float:
        """Reference time by candidate time."""
        return sum(self.reference_us) / sum(self.candidate_us)

    @property
    def null(self) -> float:
        """Reference time by the time of its second build."""
        return sum(self.reference_us) / sum(self.twin_us)

    @property
    def jump(self) -> float:
        """How far equal launches were apart, as a logarithm; the candidate's are not asked."""
        return max(abs(math.log(a / b)) for a, b in (self.reference_us, self.twin_us))


class Sampled:
    """The rounds of a measurement, those blocks left out in which the machine was disturbed."""

    def __init__(self, rounds: tuple[tuple[Block, ...], ...]) -> None:
        self.all_rounds = rounds

    def __add__(self, other: Sampled) -> Sampled:
        return Sampled(self.all_rounds + other.all_rounds)

    @cached_property
    def rounds(self) -> tuple[tuple[Block, ...], ...]:
        """The calm blocks, by round; a round without any is left out."""
        every = [block for blocks in self.all_rounds for block in blocks]
        undisturbed = calm([block.jump for block in every])
        unsagged = steady([block.clock_mhz for block in every])
        both = [calm and held for calm, held in zip(undisturbed, unsagged, strict=True)]
        flags = iter(both if any(both) else undisturbed)
        kept = (tuple(b for b in blocks if next(flags)) for blocks in self.all_rounds)
        return tuple(blocks for blocks in kept if blocks)

    @property
    def blocks(self) -> list[Block]:
        """All calm blocks."""
        return [block for blocks in self.rounds for block in blocks]

    @cached_property
    def speedup(self) -> Interval:
        """The speedup with its interval."""
        return speedup_interval([[b.speedup for b in blocks] for blocks in self.rounds])

    @cached_property
    def floor(self) -> float:
        """The noise floor: the least ratio that stands out, 1 or more."""
        return noise_floor(speedup_interval([[b.null for b in blocks] for blocks in self.rounds]))

    @property
    def reference_us(self) -> float:
        """Median time of the reference's launches."""
        return statistics.median(time for b in self.blocks for time in b.reference_us)

    @property
    def candidate_us(self) -> float:
        """Median time of the candidate's launches."""
        return statistics.median(time for b in self.blocks for time in b.candidate_us)

    def decide(self, min_speedup: float) -> Verdict:
        """Faster, slower, same or inconclusive."""
        return decide(self.speedup, self.floor, min_speedup)

    def is_settled(self, min_speedup: float) -> bool:
        """Whether more rounds are not worth their time."""
        return is_settled(self.speedup, self.floor, min_speedup)

    def is_plain(self, min_speedup: float) -> bool:
        """Whether so few rounds as there are will do: a verdict on a large difference."""
        apart = self.speedup.middle >= PLAIN or self.speedup.middle <= 1 / PLAIN
        return apart and self.decide(min_speedup) in {Verdict.FASTER, Verdict.SLOWER}

    def summarise(self, workload: int, *, emulated: bool, confirmed: bool) -> Timing:
        """The record of a comparison on workload number `workload`."""
        return Timing(
            speedup=self.speedup.middle,
            low=self.speedup.low,
            high=self.speedup.high,
            confidence=CONFIDENCE,
            noise_floor=self.floor,
            rounds=len(self.rounds),
            blocks=len(self.blocks),
            rejected_blocks=sum(map(len, self.all_rounds)) - len(self.blocks),
            confirmed=confirmed,
            reference_time_us=self.reference_us,
            candidate_time_us=self.candidate_us,
            workload=workload,
            emulated=emulated,
        )


def time_round(
    reference: Session, twin: Session, candidate: Session, timeout_s: float,
    inspect: Callable[[], None],
) -> tuple[Block, ...]:  # fmt: skip
    """The blocks of one round, from sessions that are loaded and not yet warm.

    After each of the candidate's launches `inspect` looks at what it left behind.

    Raises:
        Objection: a launch did not end well; `reference_error` if it was the reference's.
    """

    def launch(session: Session) -> Launched:
        launched = session.launch(timeout_s)
        if isinstance(launched, Fault) and session is not candidate:
            raise Objection(Verdict.REFERENCE_ERROR, f"the original failed: {launched.reason}")
        ended = unless_fault(launched)
        if session is candidate:
            inspect()
        return ended

    sessions = [reference, twin, candidate]
    for session in sessions:
        _warm_up(lambda s=session: launch(s))  # type: ignore[misc]
    return tuple(_time_block(sessions, launch) for _ in range(BLOCKS))


def _warm_up(launch: Callable[[], Launched]) -> None:
    """The kernel's launches don't get faster any more, as far as its last two can show."""
    before_us = launch().time_us
    for _ in range(MOST_WARM_UPS - 1):
        now_us = launch().time_us
        if now_us >= before_us * (1 - STEADY):
            return
        before_us = now_us


def _time_block(sessions: list[Session], launch: Callable[[Session], Launched]) -> Block:
    order = random.sample(range(len(sessions)), len(sessions))
    there = {number: launch(sessions[number]) for number in order}
    back = {number: launch(sessions[number]) for number in reversed(order)}
    launched = [(there[number], back[number]) for number in range(len(sessions))]
    reference, twin, candidate = ((one.time_us, other.time_us) for one, other in launched)
    clocks = [each.clock_mhz for both in launched[:2] for each in both]
    lowest = min((clock for clock in clocks if clock is not None), default=None)
    return Block(reference, twin, candidate, lowest)
