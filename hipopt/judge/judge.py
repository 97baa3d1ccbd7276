"""The judge says whether a candidate is correct, and whether it is faster.

Guarantee: `faster` is said only of a candidate whose results agreed with the original's on every
workload, for fresh seeds that it could not know, before and throughout the timing. The candidate
runs in a child process that holds neither the expected results nor the clock.
Price: the original runs beside every candidate.
Scope: what the workloads exercise, within the tolerance of each type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any

from hipopt.device.interface import CompileFailure, Device, Microscope
from hipopt.judge.astray import MOST_TRIALS, on_other_data
from hipopt.judge.bench import open_bench
from hipopt.judge.build import Builds, build, first_error, is_own
from hipopt.judge.objection import Objection, within
from hipopt.judge.options import Codes, JudgeOptions, Prepared
from hipopt.judge.qualified import Disqualified, Qualified
from hipopt.judge.qualify import qualify
from hipopt.judge.seeds import fresh_seeds
from hipopt.judge.trial import Trial
from hipopt.judge.twin import build_twins
from hipopt.records import Judgement, Timing, Verdict, Workload
from hipopt.source.capsule import Capsule
from hipopt.source.copies import only_copies
from hipopt.source.usage import Body
from hipopt.workload.case import Counts
from hipopt.workload.find import Found, find
from hipopt.workload.stretch import stretch


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
        """Workloads for the reference on which verdicts would count, and what was tried.

        Raises:
            DeviceError: our side failed.
        """
        return self._find(reference)[0]

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

    def _prepare(self, reference: Capsule, workloads: tuple[Workload, ...]) -> Prepared:
        if not workloads:
            return self._prepare_found(reference)
        with self._building_twins(reference, workloads) as twins:
            builds = self._build(reference, workloads)
        looked_at = self._looked_at(reference, builds, workloads)
        qualified = tuple(found for found in looked_at if isinstance(found, Qualified))
        rest = [found for found in looked_at if isinstance(found, Disqualified)]
        if not qualified:
            raise _none_counts(rest)
        notes = tuple(found.reason for found in rest)
        long, reasons = self._stretched(reference, tuple(q.workload for q in qualified))
        return self._prepared(
            reference, builds, twins(), (*qualified, *long), guessed=False, notes=notes,
            reasons=reasons,
        )  # fmt: skip

    def _stretched(
        self, reference: Capsule, given: tuple[Workload, ...]
    ) -> tuple[tuple[Qualified, ...], tuple[str, ...]]:
        """Long workloads found beside those given, and for every workload where it is from."""
        kept: dict[Workload, Qualified] = {}
        if self.microscope is None or self._trouble is not None:
            return (), ()
        with self._microscope_alone():
            found = stretch(reference, self.microscope, given, self._counts(reference, kept))
        reasons = (*("given" for _ in given), *(long.reason for long in found))
        return tuple(kept[long.workload] for long in found), reasons if found else ()

    def _prepare_found(self, reference: Capsule) -> Prepared:
        found, kept = self._find(reference)
        if not found.workloads:
            raise _none_found(reference, found)
        with self._building_twins(reference, found.workloads) as twins:
            builds = self._build(reference, found.workloads)
        qualified = tuple(kept[workload] for workload in found.workloads)
        return self._prepared(
            reference,
            builds,
            twins(),
            qualified,
            guessed=True,
            notes=found.tried,
            reasons=found.reasons,
        )

    def _find(self, reference: Capsule) -> tuple[Found, dict[Workload, Qualified]]:
        """The workloads found, and each as it was qualified."""
        kept: dict[Workload, Qualified] = {}
        if self.microscope is None or self._trouble is not None:
            why = self._trouble or "there is no CPU device here"
            return Found(tried=(f"launches can't be traced: {why}",)), kept
        with self._microscope_alone():
            return find(reference, self.microscope, self._counts(reference, kept)), kept

    def _microscope_alone(self) -> AbstractContextManager[None]:
        """What is traced meanwhile disturbs no kernel that another process times."""
        own = is_own(self.microscope, self.device)
        return self.device.exclusive() if own else nullcontext()

    def _counts(self, reference: Capsule, kept: dict[Workload, Qualified]) -> Counts:
        """Says whether a workload counts, and keeps those that do as they were qualified."""

        def objection(workload: Workload) -> str | None:
            builds = self._build(reference, (workload,))
            (looked_at,) = self._looked_at(reference, builds, (workload,))
            if isinstance(looked_at, Disqualified):
                return looked_at.reason
            kept[workload] = looked_at
            return None

        return objection

    def _prepared(
        self, reference: Capsule, builds: Builds, twins: Codes, qualified: tuple[Qualified, ...], *,
        guessed: bool, notes: tuple[str, ...], reasons: tuple[str, ...] = (),
    ) -> Prepared:  # fmt: skip
        return Prepared(
            reference=reference,
            codes=builds.device,
            plain=builds.plain,
            instrumented=builds.instrumented,
            twins=twins,
            qualified=qualified,
            guessed=guessed,
            reasons=reasons,
            notes=(*notes, *self._notes(builds, qualified)),
        )

    def _looked_at(
        self, reference: Capsule, builds: Builds, workloads: tuple[Workload, ...]
    ) -> list[Qualified | Disqualified]:
        with self.device.exclusive():
            return within(
                self.options.check_timeout_s,
                lambda: list(self._qualify(reference, builds, workloads)),
                "the original",
                self.device,
            )

    def _build(self, reference: Capsule, workloads: tuple[Workload, ...]) -> Builds:
        templates = [workload.template for workload in workloads]
        builds = build(
            reference, templates, self.device, self.microscope, self.options.compile_timeout_s,
            instrument=self._trouble is None,
        )  # fmt: skip
        if isinstance(builds, CompileFailure):
            reason = f"the original does not compile: {first_error(builds.output)}"
            raise Objection(Verdict.REFERENCE_ERROR, reason, compiler_output=builds.output)
        return builds

    @contextmanager
    def _building_twins(
        self, reference: Capsule, workloads: tuple[Workload, ...]
    ) -> Iterator[Callable[[], Codes]]:
        """The reference's second builds are compiled beside what is done meanwhile."""
        templates = [workload.template for workload in workloads]
        with ThreadPoolExecutor(1) as beside:
            yield beside.submit(
                build_twins, self.device, reference, templates, self.options.compile_timeout_s
            ).result

    @cached_property
    def _trouble(self) -> str | None:
        """Why the microscope's instrumented builds can't be had on this machine; None: they can."""
        trouble: str | None = getattr(self.microscope, "microscope_trouble", None)
        return trouble

    def _qualify(
        self, reference: Capsule, builds: Builds, workloads: tuple[Workload, ...]
    ) -> Iterator[Qualified | Disqualified]:
        const = [p.is_const for p in reference.parameters if p.is_pointer]
        copies = only_copies(Body(reference))
        for workload in workloads:
            unknown = len(const) != len(workload.buffers)
            flags = [False] * len(workload.buffers) if unknown else const
            with open_bench(
                self.device, self.microscope, builds, workload.template,
                self.options.launch_timeout_s, copies=copies,
            ) as bench:  # fmt: skip
                yield qualify(bench, workload, flags)

    def _notes(self, builds: Builds, qualified: tuple[Qualified, ...]) -> Iterator[str]:
        """What can't be looked at, and which data don't count."""
        if self._trouble is not None:
            yield f"no instrumented builds on this machine: {self._trouble}"
        if builds.failure is not None:
            yield f"not looked at in full by the microscope: {first_error(builds.failure.output)}"
        for number, found in enumerate(qualified):
            yield from (f"workload {number}: {note}" for note in found.notes)

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
        f"{'; '.join(found.tried)}; give it one ('workloads' in its manifest row; "
        "docs/workloads.md shows the form)",
        guessed_workloads=True,
        workload_notes=found.tried,
    )


def _none_counts(objections: list[Disqualified]) -> Objection:
    """What is said where no workload counts: the original's own fault, if it is one.

    Arguments that don't fit its parameters are the workload's fault.
    """
    reasons = "; ".join(
        f"workload {number}: {found.reason}" for number, found in enumerate(objections)
    )
    faulty = [o for o in objections if o.by_fault]
    if len(faulty) == len(objections):
        return Objection(Verdict.REFERENCE_ERROR, reasons)
    return Objection(Verdict.UNVERIFIABLE, f"no workload on which a verdict would count: {reasons}")


def _pace(verdict: Verdict) -> str:
    return {
        Verdict.FASTER: "faster:",
        Verdict.SLOWER: "slower:",
        Verdict.SAME: "about as fast:",
        Verdict.INCONCLUSIVE: "too close or too noisy to tell:",
    }[verdict]
