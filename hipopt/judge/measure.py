"""How fast a correct candidate is beside its reference, on one workload."""

from __future__ import annotations

import time

from hipopt.device.interface import CodeObject, Device
from hipopt.judge.agreement import Spreads, agree
from hipopt.judge.bandwidth import bytes_changed, check_possible
from hipopt.judge.execution import Arrays, load
from hipopt.judge.fresh import fresh_copies
from hipopt.judge.objection import resting_on, unless_fault
from hipopt.judge.options import JudgeOptions, Prepared
from hipopt.judge.references import References
from hipopt.judge.timing import Block, Sampled, time_round
from hipopt.records import Record, Timing, Verdict

MIN_ROUNDS = 6
"""Before the first look at whether the rounds decide; fewer only where they outlast the budget or
show a plain difference."""
FEWEST_ROUNDS = 3
MAX_ROUNDS = 60
GROWTH = 1.25
"""Rounds at a look by those at the one before."""
_CONFIRMING_SEEDS = 1000
"""Distance of the confirming measurement's seeds from the first's."""


def measure(
    device: Device, options: JudgeOptions, prepared: Prepared, candidate: CodeObject, number: int,
    seed: int, spread: References | None = None,
) -> tuple[Verdict, Timing]:  # fmt: skip
    """The verdict on a correct candidate, by its times on workload `number`.

    A difference counts only if a second, independent measurement shows it again. Round k draws its
    data with seed `seed` + k, or `seed` + 1000 + k in the second measurement. Results of timed
    launches are compared within the tolerance that `spread` gives, or the type's widest.

    Raises:
        Objection: a launch did not end well, left other results than the reference's, or took a
            time that is impossible.
    """
    bench = _bench(device, options, prepared, candidate, number, spread)
    sampled = bench.sample(seed)
    verdict = sampled.decide(options.min_speedup)
    confirmed = False
    if verdict in {Verdict.FASTER, Verdict.SLOWER}:
        again = bench.sample(seed + _CONFIRMING_SEEDS)
        confirmed = again.decide(options.min_speedup) is verdict
        sampled += again
    if verdict in {Verdict.FASTER, Verdict.SLOWER} and not confirmed:
        verdict = Verdict.INCONCLUSIVE
    emulated = device.describe().emulated
    return verdict, sampled.summarise(number, emulated=emulated, confirmed=confirmed)


class _Bench(Record, frozen=True, kw_only=True):
    """Everything that one candidate is measured with."""

    device: Device
    options: JudgeOptions
    prepared: Prepared
    number: int
    """Of the workload."""
    reference: CodeObject
    twin: CodeObject
    candidate: CodeObject
    spread: References | None
    """Tell how far the reference's rounding carries; None: nothing can."""

    def sample(self, seed: int) -> Sampled:
        """Rounds until they decide, or there are enough."""
        give_up_at = time.monotonic() + self.options.timing_budget_s
        rounds: list[tuple[Block, ...]] = []
        next_look = MIN_ROUNDS
        while True:
            with resting_on(self.number, seed + len(rounds)):
                rounds.append(self.round(seed + len(rounds)))
            late = len(rounds) >= FEWEST_ROUNDS and time.monotonic() > give_up_at
            sampled = Sampled(tuple(rounds))
            if late or len(rounds) >= MAX_ROUNDS:
                return sampled
            if len(rounds) >= FEWEST_ROUNDS and sampled.is_plain(self.options.min_speedup):
                return sampled
            if len(rounds) >= next_look:
                if sampled.is_settled(self.options.min_speedup):
                    return sampled
                next_look = int(next_look * GROWTH) + 1

    def round(self, seed: int) -> tuple[Block, ...]:
        """One round in fresh sessions, on data of its own seed, its results checked."""
        qualified = self.prepared.qualified[self.number]
        workload, timeout_s = qualified.launch(seed), self.options.launch_timeout_s
        before = qualified.contents(seed)
        spreads: Spreads | None = self.spread.spreads(self.number, seed) if self.spread else None
        with (
            fresh_copies((self.reference, self.twin, self.candidate)) as codes,
            self.device.open(codes[0]) as reference,
            self.device.open(codes[1]) as twin,
            self.device.open(codes[2]) as candidate,
        ):
            for session in (reference, twin, candidate):
                unless_fault(load(session, workload, before))
            expected: Arrays = []

            def inspect() -> None:
                if not expected:  # the reference is warm by now
                    expected.extend(unless_fault(reference.read()))
                left = unless_fault(candidate.read())
                agree(self.number, qualified, seed, before, expected, left, spreads)

            blocks = time_round(reference, twin, candidate, timeout_s, inspect)
        self._check_possible(bytes_changed(before, expected), blocks)
        return blocks

    def _check_possible(self, must_move: int, blocks: tuple[Block, ...]) -> None:
        measured = Sampled((blocks,))
        check_possible(
            self.device.describe(), must_move, measured.reference_us, measured.candidate_us
        )


def _bench(
    device: Device, options: JudgeOptions, prepared: Prepared, candidate: CodeObject, number: int,
    spread: References | None,
) -> _Bench:  # fmt: skip
    template = prepared.qualified[number].workload.template
    reference = prepared.codes[template]
    return _Bench(
        device=device, options=options, prepared=prepared, number=number, reference=reference,
        twin=prepared.twins.get(template, reference), candidate=candidate, spread=spread,
    )  # fmt: skip
