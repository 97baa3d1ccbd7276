"""The judge says whether a candidate is correct, and whether it is faster.

Guarantee: `faster` is said only of a candidate whose results agreed with the original's on every
workload, for fresh seeds that it could not know, before and throughout the timing. The candidate
runs in a child process that holds neither the expected results nor the clock.
Price: the original runs beside every candidate.
Scope: what the workloads exercise, within the tolerance of each type.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from hipopt.device.interface import CodeObject, CompileFailure, Device, Microscope
from hipopt.judge.objection import Objection, within
from hipopt.judge.options import Codes, JudgeOptions, Prepared
from hipopt.judge.qualify import Disqualified, Qualified, qualify
from hipopt.judge.trial import Trial, first_error
from hipopt.records import Judgement, Verdict, Workload
from hipopt.source.capsule import Capsule
from hipopt.workload.find import Found, find

SEED_BITS = 48


class Judge:
    """Judges candidates on one device."""

    def __init__(
        self,
        device: Device,
        options: JudgeOptions | None = None,
        microscope: Microscope | None = None,
    ) -> None:
        self.device = device
        self.microscope = microscope
        self.options = options or JudgeOptions()

    def prepare(
        self, reference: Capsule, workloads: tuple[Workload, ...] = ()
    ) -> Prepared | Judgement:
        """The reference compiled and its workloads qualified; guessed ones where none are given.

        A `Judgement` where no candidate could be judged: `reference_error` or `unverifiable`.
        """
        try:
            return self._prepare(reference, workloads)
        except Objection as objection:
            return self._judgement(objection.verdict, objection.reason, **objection.evidence)

    def find(self, reference: Capsule) -> Found:
        """Workloads for the reference on which verdicts would count, and what was tried."""
        if self.microscope is None:
            return Found(tried=("no CPU device here can trace launches",))

        def objection(workload: Workload) -> str | None:
            codes = {workload.template: self._compile(reference, workload.template)}
            looked_at = next(self._qualify(reference, codes, (workload,)))
            return looked_at.reason if isinstance(looked_at, Disqualified) else None

        return find(reference, self.microscope, objection)

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
        seeds = seeds or tuple(secrets.randbits(SEED_BITS) for _ in range(self.options.seeds + 1))
        trial = Trial(self.device, self.options, prepared, candidate, seeds)
        evidence: dict[str, Any] = {
            "seeds": seeds,
            "workloads": prepared.workloads,
            "guessed_workloads": prepared.guessed,
            "workload_notes": prepared.notes,
        }
        try:
            verdict, timing = trial.run()
            evidence |= {"speedup": timing.speedup, "timing": timing}
            reason = f"correct; {_pace(verdict)} {timing.describe()}"
        except Objection as objection:
            verdict, reason = objection.verdict, objection.reason
            evidence |= objection.evidence
        evidence |= {"resources": trial.resources, "stage_seconds": trial.stage_seconds}
        return self._judgement(verdict, reason, **evidence)

    def _prepare(self, reference: Capsule, workloads: tuple[Workload, ...]) -> Prepared:
        found = Found(workloads=workloads) if workloads else self.find(reference)
        if not found.workloads:
            raise _none_found(reference, found)
        proposed = found.workloads
        codes = {w.template: self._compile(reference, w.template) for w in proposed}
        with self.device.exclusive():
            looked_at = within(
                self.options.check_timeout_s,
                lambda: list(self._qualify(reference, codes, proposed)),
                "the original",
            )
        qualified = tuple(found for found in looked_at if isinstance(found, Qualified))
        rest = [found for found in looked_at if isinstance(found, Disqualified)]
        if not qualified:
            raise _none_counts(rest, given=bool(workloads))
        return Prepared(
            reference=reference,
            codes=codes,
            qualified=qualified,
            guessed=not workloads,
            notes=tuple(found.reason for found in rest),
        )

    def _compile(self, reference: Capsule, template: tuple[str, ...]) -> CodeObject:
        code = self.device.compile(reference, template, self.options.compile_timeout_s)
        if isinstance(code, CompileFailure):
            reason = f"the original does not compile: {first_error(code.output)}"
            raise Objection(Verdict.REFERENCE_ERROR, reason, compiler_output=code.output)
        return code

    def _qualify(
        self, reference: Capsule, codes: Codes, workloads: tuple[Workload, ...]
    ) -> Iterator[Qualified | Disqualified]:
        const = [p.is_const for p in reference.parameters if p.is_pointer]
        seeds = (2 * secrets.randbits(SEED_BITS - 1), 2 * secrets.randbits(SEED_BITS - 1) + 1)
        for workload in workloads:
            unknown = len(const) != len(workload.buffers)
            flags = [False] * len(workload.buffers) if unknown else const
            with self.device.open(codes[workload.template]) as session:
                yield qualify(session, workload, flags, seeds, self.options.launch_timeout_s)

    def _judgement(self, verdict: Verdict, reason: str, **evidence: Any) -> Judgement:  # noqa: ANN401
        device = self.device.describe()
        return Judgement(
            verdict=verdict,
            reason=reason,
            device=f"{device.kind}: {device.name}",
            toolchain=device.toolchain,
            **evidence,
        )


def _none_found(reference: Capsule, found: Found) -> Objection:
    return Objection(
        Verdict.UNVERIFIABLE,
        f"no workload is given for '{reference.kernel}' and none was found: "
        f"{'; '.join(found.tried)}; give it one ('workloads' in its manifest row)",
    )


def _none_counts(objections: list[Disqualified], *, given: bool) -> Objection:
    """What is said where no workload counts: the original's own fault, if it is one.

    Arguments that don't fit its parameters are the workload's fault.
    """
    reasons = "; ".join(
        f"workload {number}: {found.reason}" for number, found in enumerate(objections)
    )
    faulty = [o for o in objections if o.fault and o.fault.verdict is not Verdict.REJECTED]
    if given and len(faulty) == len(objections):
        return Objection(Verdict.REFERENCE_ERROR, reasons)
    return Objection(Verdict.UNVERIFIABLE, f"no workload on which a verdict would count: {reasons}")


def _pace(verdict: Verdict) -> str:
    return {
        Verdict.FASTER: "faster:",
        Verdict.SLOWER: "slower:",
        Verdict.SAME: "about as fast:",
        Verdict.INCONCLUSIVE: "too close or too noisy to tell:",
    }[verdict]
