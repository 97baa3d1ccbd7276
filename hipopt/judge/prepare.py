"""A kernel made ready: compiled, with workloads on which verdicts count.

Guarantee: each workload of what is prepared has qualified. Price: seconds, once a kernel. Scope:
the workloads that are given, or those that can be found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property

from hipopt.device.interface import CompileFailure, Device, Microscope
from hipopt.judge.bench import open_bench
from hipopt.judge.build import Builds, build, first_error, is_own
from hipopt.judge.objection import Objection, within
from hipopt.judge.options import Codes, JudgeOptions, Prepared
from hipopt.judge.qualified import Disqualified, Qualified
from hipopt.judge.qualify import qualify
from hipopt.judge.twin import build_twins
from hipopt.records import Verdict, Workload
from hipopt.source.capsule import Capsule
from hipopt.source.copies import only_copies
from hipopt.source.usage import Body
from hipopt.workload.case import Counts
from hipopt.workload.find import Found, find
from hipopt.workload.stretch import stretch


class Preparer:
    """Prepares kernels for one device.

    Args:
        device: where they are judged and timed.
        options: how strictly, and for how long.
        microscope: where they are looked at before, if anywhere.
    """

    def __init__(
        self, device: Device, options: JudgeOptions, microscope: Microscope | None
    ) -> None:
        self._device = device
        self._options = options
        self._microscope = microscope

    def prepare(self, reference: Capsule, workloads: tuple[Workload, ...]) -> Prepared:
        """The reference compiled and its workloads qualified; found ones where none are given.

        Raises:
            Objection: no candidate can be judged.
        """
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
        if self._microscope is None or self._trouble is not None:
            return (), ()
        with self._microscope_alone():
            found = stretch(reference, self._microscope, given, self._counts(reference, kept))
        reasons = (*("given" for _ in given), *(long.reason for long in found))
        return tuple(kept[long.workload] for long in found), reasons if found else ()

    def _prepare_found(self, reference: Capsule) -> Prepared:
        found, kept = self.find(reference)
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

    def find(self, reference: Capsule) -> tuple[Found, dict[Workload, Qualified]]:
        """The workloads found, and each as it was qualified."""
        kept: dict[Workload, Qualified] = {}
        if self._microscope is None or self._trouble is not None:
            why = self._trouble or "there is no CPU device here"
            return Found(tried=(f"launches can't be traced: {why}",)), kept
        with self._microscope_alone():
            return find(reference, self._microscope, self._counts(reference, kept)), kept

    def _microscope_alone(self) -> AbstractContextManager[None]:
        """What is traced meanwhile disturbs no kernel that another process times."""
        own = is_own(self._microscope, self._device)
        return self._device.exclusive() if own else nullcontext()

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
        with self._device.exclusive():
            return within(
                self._options.check_timeout_s,
                lambda: list(self._qualify(reference, builds, workloads)),
                "the original",
                self._device,
            )

    def _build(self, reference: Capsule, workloads: tuple[Workload, ...]) -> Builds:
        templates = [workload.template for workload in workloads]
        builds = build(
            reference, templates, self._device, self._microscope, self._options.compile_timeout_s,
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
                build_twins, self._device, reference, templates, self._options.compile_timeout_s
            ).result

    @cached_property
    def _trouble(self) -> str | None:
        """Why the microscope's instrumented builds can't be had on this machine; None: they can."""
        trouble: str | None = getattr(self._microscope, "microscope_trouble", None)
        return trouble

    def _qualify(
        self, reference: Capsule, builds: Builds, workloads: tuple[Workload, ...]
    ) -> Iterator[Qualified | Disqualified]:
        const = [p.is_const for p in reference.parameters if p.is_pointer]
        body = Body(reference)
        copies = only_copies(body)
        strided = {axis for axis in "xyz" if f"g{axis}" in body.usage.indices}
        for workload in workloads:
            unknown = len(const) != len(workload.buffers)
            flags = [False] * len(workload.buffers) if unknown else const
            with open_bench(
                self._device, self._microscope, builds, workload.template,
                self._options.launch_timeout_s, copies=copies, strided=strided,
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
