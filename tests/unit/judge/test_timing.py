"""Sampling two sessions side by side."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Self

import pytest

from hipopt.device.interface import Fault, Launched
from hipopt.judge.objection import Objection
from hipopt.judge.statistics import decide
from hipopt.judge.timing import MAX_BLOCKS, MIN_BLOCKS, WARM_UPS, Sampled, sample
from hipopt.records import Verdict


class Scripted:
    """A session whose launches take the times it was given, and that writes down its turns."""

    def __init__(self, name: str, times_us: Iterator[float | Fault], turns: list[str]) -> None:
        self._name, self._times, self._turns = name, times_us, turns

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def load(self, *_: Any) -> Fault | None:
        return None

    def launch(self, timeout_s: float) -> Launched | Fault:
        assert timeout_s == 1.0
        self._turns.append(self._name)
        time_us = next(self._times)
        return time_us if isinstance(time_us, Fault) else Launched(time_us=time_us)

    def read(self) -> list[Any] | Fault:
        return []


def around(middle_us: float, spread: float) -> Iterator[float]:
    """Times that scatter by a share `spread` of their middle."""
    rng = random.Random(3)
    while True:
        yield middle_us * rng.uniform(1 - spread, 1 + spread)


def run(
    reference_us: Iterator[float | Fault], candidate_us: Iterator[float | Fault]
) -> tuple[Sampled, list[str]]:
    turns: list[str] = []
    seen: list[None] = []
    reference = Scripted("reference", reference_us, turns)
    candidate = Scripted("candidate", candidate_us, turns)
    sampled = sample(reference, candidate, 1.0, 1.05, lambda: seen.append(None))
    assert len(seen) == len(sampled.candidate_us)
    return sampled, turns


def test_a_clear_difference_needs_few_blocks() -> None:
    """Where the interval decides, sampling stops; warm-ups don't count."""
    sampled, turns = run(around(200, 0.01), around(100, 0.01))
    assert MIN_BLOCKS <= len(sampled.reference_us) < 20
    assert len(turns) == 2 * (len(sampled.reference_us) + WARM_UPS)
    assert decide(sampled.interval(), 1.05) is Verdict.FASTER
    assert sampled.interval().middle == pytest.approx(2.0, rel=0.02)


def test_every_block_has_one_launch_of_each_in_random_order() -> None:
    """Pairs are never broken, and neither kernel always goes first."""
    _, turns = run(around(100, 0.3), around(104, 0.3))
    pairs = [tuple(turns[i : i + 2]) for i in range(0, len(turns), 2)]
    assert {frozenset(pair) for pair in pairs} == {frozenset({"reference", "candidate"})}
    assert len(set(pairs)) == 2


def test_what_cannot_be_told_is_given_up() -> None:
    """Noise beyond the difference ends at the cap, as inconclusive."""
    sampled, _ = run(around(104, 0.6), around(100, 0.5))
    assert len(sampled.reference_us) == MAX_BLOCKS
    assert decide(sampled.interval(), 1.05) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("who", "verdict"), [("reference", "reference_error"), ("candidate", "crashed")]
)
def test_a_fault_is_blamed_on_whose_it_is(who: str, verdict: str) -> None:
    """The original's fault while it is timed is never the candidate's."""

    def breaks() -> Iterator[float | Fault]:
        yield from [1.0] * 5
        yield Fault(verdict=Verdict.CRASHED, reason="died")

    times = {"reference": around(1, 0.1), "candidate": around(1, 0.1), who: breaks()}
    with pytest.raises(Objection, match="died") as caught:
        run(times["reference"], times["candidate"])
    assert caught.value.verdict == verdict
