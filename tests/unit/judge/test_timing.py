"""Rounds: who is launched when, which blocks count, who is blamed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Self

import pytest

from hipopt.device.interface import FORWARD, Fault, Launched, Schedule
from hipopt.judge.objection import Objection
from hipopt.judge.timing import BLOCKS, MOST_WARM_UPS, Block, Sampled, time_round
from hipopt.records import Verdict

NAMES = ("reference", "twin", "candidate")
Times = Iterator[float | Fault]


class Scripted:
    """A session whose launches take the times it was given, and that writes down its turns."""

    def __init__(self, name: str, times_us: Times, turns: list[str]) -> None:
        self._name, self._times, self._turns = name, times_us, turns

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def load(self, *_: Any) -> Fault | None:
        return None

    def launch(self, timeout_s: float, schedule: Schedule = FORWARD) -> Launched | Fault:
        assert (timeout_s, schedule) == (1.0, FORWARD)
        self._turns.append(self._name)
        time_us = next(self._times)
        return time_us if isinstance(time_us, Fault) else Launched(time_us=time_us)

    def read(self) -> list[Any] | Fault:
        return []


def around(middle_us: float, spread: float, *first_us: float) -> Times:
    """Times that scatter by a share `spread` of their middle, after some given ones."""
    yield from first_us
    rng = random.Random(3)
    while True:
        yield middle_us * rng.uniform(1 - spread, 1 + spread)


def run(**times_us: Times) -> tuple[tuple[Block, ...], list[str]]:
    """One round, and whose turns it took; every look at the results follows a launch."""
    turns: list[str] = []
    sessions = [Scripted(n, times_us.get(n, around(100, 0.01)), turns) for n in NAMES]

    def inspect() -> None:
        assert turns[-1] == "candidate"
        turns.append("look")

    return time_round(*sessions, 1.0, inspect), turns


def test_blocks_are_palindromes_in_random_order() -> None:
    """Each block launches every kernel twice, the second time in reverse; orders differ."""
    orders = set()
    for _ in range(20):
        blocks, turns = run()
        assert len(blocks) == BLOCKS
        launches = [turn for turn in turns if turn != "look"][-6 * BLOCKS :]
        for start in range(0, len(launches), 6):
            order = launches[start : start + 6]
            assert sorted(order[:3]) == sorted(NAMES)
            assert order[3:] == order[2::-1]
            orders.add(tuple(order))
    assert len(orders) > 2


def test_every_launch_of_the_candidate_is_looked_at() -> None:
    """Warm-ups included."""
    _, turns = run()
    assert turns.count("look") == turns.count("candidate") > 2 * BLOCKS


def test_warming_up_ends_when_launches_get_no_faster() -> None:
    """A kernel that falls from 400 to 100 µs is timed at 100; one that never rests is, too."""
    blocks, turns = run(reference=around(100, 0.01, 400, 300, 200))
    assert turns.count("reference") == 5 + 2 * BLOCKS
    assert Sampled((blocks, blocks)).speedup.middle == pytest.approx(1.0, rel=0.02)
    _, turns = run(candidate=iter([1000 * 0.9**k for k in range(50)]))
    assert turns.count("candidate") == MOST_WARM_UPS + 2 * BLOCKS


def test_speedup_and_noise_floor_come_from_their_own_pairs() -> None:
    """A candidate twice as fast has a speedup of 2; the twin alone sets the floor."""
    rounds = tuple(run(candidate=around(50, 0.01), twin=around(103, 0.01))[0] for _ in range(8))
    sampled = Sampled(rounds)
    assert sampled.speedup.middle == pytest.approx(2.0, rel=0.02)
    assert 1.02 < sampled.floor < 1.06
    assert sampled.decide(1.05) is Verdict.FASTER
    assert sampled.candidate_us == pytest.approx(50, rel=0.02)


def test_three_rounds_show_a_plain_difference_only() -> None:
    """Half the time is plain; a tenth less is not, however clear its interval is."""
    half = Sampled(tuple(run(candidate=around(50, 0.01))[0] for _ in range(3)))
    assert half.is_plain(1.05)
    assert half.decide(3.0) is not Verdict.FASTER
    assert not half.is_plain(3.0)
    tenth = Sampled(tuple(run(candidate=around(90, 0.001))[0] for _ in range(3)))
    assert not tenth.is_plain(1.05)


def test_blocks_are_thrown_away_by_the_reference_alone() -> None:
    """A jump of the reference or its twin costs its block; one of the candidate costs nothing."""
    still = Block((100, 100), (100, 100), (100, 100))
    torn = Block((100, 150), (100, 100), (100, 100))
    twin_torn = Block((100, 100), (150, 100), (100, 100))
    candidate_torn = Block((100, 100), (100, 100), (10, 1000))
    sampled = Sampled(((still, torn), (still, still), (twin_torn, twin_torn), (candidate_torn,)))
    assert sampled.rounds == ((still,), (still, still), (candidate_torn,))
    timing = sampled.summarise(4, emulated=True, confirmed=False)
    assert (timing.rounds, timing.blocks, timing.rejected_blocks) == (3, 4, 3)
    assert timing.workload == 4


@pytest.mark.parametrize(
    ("who", "verdict"),
    [("reference", "reference_error"), ("twin", "reference_error"), ("candidate", "crashed")],
)
def test_a_fault_is_blamed_on_whose_it_is(who: str, verdict: str) -> None:
    """The original's fault while it is timed is never the candidate's, in either build."""
    breaks = iter([1.0, 1.0, 1.0, Fault(verdict=Verdict.CRASHED, reason="died")])
    with pytest.raises(Objection, match="died") as caught:
        run(**{who: breaks})
    assert caught.value.verdict == verdict


@pytest.mark.parametrize(("sagged_mhz", "kept"), [(1500.0, 9), (1950.0, 10), (None, 10)])
def test_blocks_in_which_the_clock_sagged(sagged_mhz: float | None, kept: int) -> None:
    """A block whose clock lies a tenth below the others' does not count; an unknown one does."""
    clocks = [2100.0] * 9 + [sagged_mhz]
    blocks = [Block((100.0, 100.0), (100.0, 100.0), (50.0, 50.0), clock) for clock in clocks]
    assert len(Sampled(tuple((block,) for block in blocks)).blocks) == kept


def test_a_block_has_the_lowest_clock_of_the_reference() -> None:
    """Clocks after the candidate's launches are not asked: it can't have blocks thrown away."""

    class Clocked(Scripted):
        def launch(self, *_: object) -> Launched:
            clock_mhz = {"reference": 2000.0, "twin": 1900.0, "candidate": 700.0}[self._name]
            return Launched(time_us=100.0, clock_mhz=clock_mhz)

    sessions = [Clocked(name, iter(()), []) for name in NAMES]
    blocks = time_round(*sessions, 1.0, lambda: None)
    assert [block.clock_mhz for block in blocks] == [1900.0] * BLOCKS
