"""How fast a correct candidate is beside its reference, on one workload."""

from __future__ import annotations

from hipopt.device.interface import CodeObject, Device
from hipopt.judge.agreement import agree
from hipopt.judge.execution import load, run_reference
from hipopt.judge.objection import unless_fault
from hipopt.judge.options import JudgeOptions, Prepared
from hipopt.judge.statistics import decide
from hipopt.judge.timing import Sampled, sample, summarise
from hipopt.records import Timing, Verdict


def measure(
    device: Device, options: JudgeOptions, prepared: Prepared, candidate: CodeObject, number: int,
    seed: int,
) -> tuple[Verdict, Timing]:  # fmt: skip
    """The verdict on a correct candidate, by its times on workload `number`.

    A difference counts only if fresh processes show it again: where a process happens to lie in
    memory can make all its launches faster or slower.

    Raises:
        Objection: a launch did not end well, or left other results than the reference's.
    """

    def once() -> Sampled:
        return _sample(device, options, prepared, candidate, number, seed)

    sampled = once()
    verdict = decide(sampled.interval(), options.min_speedup)
    if verdict in {Verdict.FASTER, Verdict.SLOWER}:
        again = once()
        sampled += again
        if decide(again.interval(), options.min_speedup) is not verdict:
            verdict = Verdict.INCONCLUSIVE
    return verdict, summarise(sampled, number, emulated=device.describe().emulated)


def _sample(
    device: Device, options: JudgeOptions, prepared: Prepared, candidate_code: CodeObject,
    number: int, seed: int,
) -> Sampled:  # fmt: skip
    """Both kernels timed in fresh sessions, on data of its own seed, checked throughout."""
    qualified = prepared.qualified[number]
    workload = qualified.workload
    before = qualified.contents(seed)
    with (
        device.open(prepared.codes[workload.template]) as reference,
        device.open(candidate_code) as candidate,
    ):
        expected = run_reference(reference, workload, before, options.launch_timeout_s)
        unless_fault(load(candidate, workload, before))

        def inspect() -> None:
            left = unless_fault(candidate.read())
            agree(number, qualified, seed, before, expected, left)

        return sample(reference, candidate, options.launch_timeout_s, options.min_speedup, inspect)
