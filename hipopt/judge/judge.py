"""The judge says whether a candidate is correct, and whether it is faster.

Guarantee: `faster` is said only of a candidate whose results agreed with the original's on every
workload, for fresh seeds that it could not know, before and throughout the timing. The candidate
runs in a child process that holds neither the expected results nor the clock.
Price: the original runs beside every candidate.
Scope: what the workloads exercise, within the tolerance of each type.
"""

from __future__ import annotations

from typing import Any

from hipopt.device.interface import Device, Microscope
from hipopt.judge.astray import MOST_TRIALS, on_other_data
from hipopt.judge.objection import Objection
from hipopt.judge.options import JudgeOptions, Prepared
from hipopt.judge.prepare import Preparer
from hipopt.judge.seeds import fresh_seeds
from hipopt.judge.trial import Trial
from hipopt.records import Judgement, Timing, Verdict, Workload
from hipopt.source.capsule import Capsule
from hipopt.workload.find import Found


class Judge:
    """Judges candidates on one device.

    Args:
        device: where they are judged and timed.
        options: how strictly, and for how long.
        microscope: where they are looked at before; None: the device itself if it can, else none.
    """

    def __init__(
        self, device: Device, options: JudgeOptions | None = None,
        microscope: Microscope | None = None,
    ) -> None:  # fmt: skip
        self.device = device
        self.options = options or JudgeOptions()
        self.microscope = microscope
        if microscope is None and isinstance(device, Microscope):
            self.microscope = device
        self._preparer = Preparer(device, self.options, self.microscope)

    def prepare(
        self, reference: Capsule, workloads: tuple[Workload, ...] = ()
    ) -> Prepared | Judgement:
        """The reference compiled and its workloads qualified; guessed ones where none are given.

        A `Judgement` where no candidate could be judged: `reference_error` or `unverifiable`.
        """
        try:
            return self._preparer.prepare(reference, workloads)
        except Objection as objection:
            return self._judgement(objection.verdict, objection.reason, **objection.evidence)

    def find(self, reference: Capsule) -> Found:
        """Workloads for the reference on which verdicts would count, and what was tried.

        Raises:
            DeviceError: our side failed.
        """
        return self._preparer.find(reference)[0]

    def judge(
        self, prepared: Prepared, candidate: Capsule, seeds: tuple[int, ...] | None = None
    ) -> Judgement:
        """The verdict on one candidate, with its evidence.

        Args:
            prepared: the reference.
            candidate: what is judged; its kernel has the reference's name.
            seeds: those of an earlier judgement, to repeat it; None: fresh secret ones. The last
                is for timing, the others for checking.

        Raises:
            DeviceError: our side failed, and nothing was found out about the candidate.
        """
        seeds = seeds or fresh_seeds(self.options.seeds)
        prepared, trial, end = self._tried(prepared.suiting(candidate), candidate, seeds)
        evidence: dict[str, Any] = {
            "seeds": seeds,
            "workloads": prepared.workloads,
            "guessed_workloads": prepared.guessed,
            "workload_reasons": prepared.reasons,
            "workload_notes": prepared.notes,
            "resources": trial.resources,
            "stage_seconds": trial.stage_seconds,
            "checks": trial.checks,
            "lockstep": trial.lockstep,
            "tolerance_source": trial.tolerance_source,
        }
        if isinstance(end, Objection):
            return self._judgement(end.verdict, end.reason, **evidence | end.evidence)
        verdict, timing = end
        reason = f"correct; {_pace(verdict)} {timing.describe()}"
        evidence |= {"speedup": timing.speedup, "timing": timing}
        return self._judgement(verdict, reason, **evidence)

    def _tried(
        self, prepared: Prepared, candidate: Capsule, seeds: tuple[int, ...]
    ) -> tuple[Prepared, Trial, tuple[Verdict, Timing] | Objection]:
        """The trial that counts and how it ended: none whose end rests on data that say nothing."""
        end = Objection(Verdict.REFERENCE_ERROR, "on most data that were tried the original fails")
        for _ in range(MOST_TRIALS):
            trial = Trial(self.device, self.microscope, self.options, prepared, candidate, seeds)
            try:
                return prepared, trial, trial.run()
            except Objection as objection:
                timeout_s = self.options.launch_timeout_s
                other = on_other_data(self.microscope, timeout_s, prepared, seeds, objection)
            if isinstance(other, Objection):
                end = other
                break
            prepared = other
        return prepared, trial, end

    def _judgement(self, verdict: Verdict, reason: str, **evidence: Any) -> Judgement:  # noqa: ANN401
        device = self.device.describe()
        return Judgement(
            verdict=verdict,
            reason=reason,
            device=f"{device.kind}: {device.name}",
            toolchain=device.toolchain,
            **evidence,
        )


def _pace(verdict: Verdict) -> str:
    return {
        Verdict.FASTER: "faster:",
        Verdict.SLOWER: "slower:",
        Verdict.SAME: "about as fast:",
        Verdict.INCONCLUSIVE: "too close or too noisy to tell:",
    }[verdict]
