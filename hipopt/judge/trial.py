"""One candidate's trial: rules, compile, microscope, check, time.

The first objection is the verdict.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from hipopt.device.interface import CodeObject, CompileFailure, Device, Microscope
from hipopt.judge.build import Builds, build, first_error, is_own
from hipopt.judge.check import Check
from hipopt.judge.measure import measure
from hipopt.judge.objection import Objection, within
from hipopt.judge.options import Codes, JudgeOptions, Prepared
from hipopt.judge.references import References
from hipopt.judge.screen import Screen
from hipopt.records import Resources, Timing, Verdict
from hipopt.source.capsule import Capsule
from hipopt.source.rules import check_rules

ROUNDING = "rounding modes"
"""Tolerances come from how far rounding moves the reference's results, on every workload."""
TABLE = "type table"
"""Some are the type's widest, as no microscope could tell more."""


class Trial:
    """Judges one candidate beside its reference.

    `run` returns the timing of a correct candidate, or raises the `Objection` that ends it.

    Args:
        device: where candidates are judged and timed.
        microscope: where they are looked at before; the device itself, another, or None.
        options: how strictly, and for how long.
        prepared: the reference.
        candidate: what is judged.
        seeds: everything random in checking comes from these; the last one's data are timed.
    """

    def __init__(
        self, device: Device, microscope: Microscope | None, options: JudgeOptions,
        prepared: Prepared, candidate: Capsule, seeds: tuple[int, ...],
    ) -> None:  # fmt: skip
        self._device = device
        self._microscope = microscope if prepared.plain else None
        self._options = options
        self._prepared = prepared
        self._candidate = candidate
        self._seeds = seeds
        self._screen: Screen | None = None
        self._checks: tuple[str, ...] = ()
        self.stage_seconds: dict[str, float] = {}
        self.resources: Resources | None = None
        self.tolerance_source: str | None = None

    def run(self) -> tuple[Verdict, Timing]:
        """The verdict on a correct candidate.

        Raises:
            Objection: with the verdict on any other.
            DeviceError: our side failed.
        """
        broken = check_rules(self._candidate, self._prepared.reference)
        if broken:
            raise Objection(Verdict.REJECTED, broken)
        builds = self._build()
        is_measured = all(qualified.measured for qualified in self._prepared.qualified)
        self.tolerance_source = ROUNDING if self._microscope and is_measured else TABLE
        timeout_s = self._options.check_timeout_s
        is_own_microscope = self._microscope is None or is_own(self._microscope, self._device)
        with ExitStack() as stack:
            looked = None
            if not is_own_microscope:
                looked = stack.enter_context(self._looking_references())
                self._look_elsewhere(builds, looked)
            stack.enter_context(self._device.exclusive())
            ours = stack.enter_context(self._references())
            judge = partial(self._judge, builds, ours, looked, looks=is_own_microscope)
            return within(timeout_s, judge, "the check", self._device)

    @property
    def checks(self) -> tuple[str, ...]:
        """What was looked at and found in order."""
        return (*(self._screen.checks if self._screen else ()), *self._checks)

    @property
    def lockstep(self) -> str | None:
        """Where the candidate counts on the lanes of a wave running in step."""
        seen = self._screen.lockstep if self._screen else None
        return None if seen is None else seen.reason

    def _judge(
        self, builds: Builds, ours: References, looked: References | None, *, looks: bool
    ) -> tuple[Verdict, Timing]:
        if looks:
            looked = ours if self._microscope is not None else None
            self._look(builds, looked)
        with self._stage("check"):
            check = Check(self._device, self._options, self._prepared, ours, looked, self._seeds)
            self._checks = tuple(check.run(builds.device))
        return self._time(builds.device, looked)

    def _look_elsewhere(self, builds: Builds, references: References) -> None:
        """The microscope's part before the device is held, on a core that is its alone."""
        assert self._microscope is not None  # noqa: S101 (narrows the type)

        def look() -> None:
            try:
                self._look(builds, references)
            finally:
                references.rest()

        with self._microscope.exclusive():
            within(self._options.check_timeout_s, look, "the microscope")

    def _look(self, builds: Builds, references: References | None) -> None:
        """The microscope's part, where there is one and it could compile the candidate."""
        if self._microscope is None or references is None or not builds.plain:
            return
        self._screen = Screen(
            self._microscope, self._options, self._prepared, references, self._seeds,
            decides=is_own(self._microscope, self._device),
        )  # fmt: skip
        with self._stage("microscope"):
            if builds.instrumented:
                self._screen.observe(builds.instrumented)
            self._screen.run_in_orders(builds.plain)
            self._screen.compare_instrumented()

    def _build(self) -> Builds:
        with self._stage("compile"):
            builds = build(
                self._candidate, self._prepared.codes, self._device, self._microscope,
                self._options.compile_timeout_s, instrument=bool(self._prepared.instrumented),
            )  # fmt: skip
        failure = builds if isinstance(builds, CompileFailure) else builds.failure
        if failure is not None and (builds is failure or is_own(self._microscope, self._device)):
            raise Objection(
                failure.verdict, first_error(failure.output), compiler_output=failure.output
            )
        assert isinstance(builds, Builds)  # noqa: S101 (narrows the type)
        for template, code in builds.device.items():
            _compare(code, self._prepared.codes[template])
            self.resources = self._resources(code, template)
        return builds

    def _resources(self, code: CodeObject, template: tuple[str, ...]) -> Resources:
        """What the candidate takes in the first of the launches that it is judged by."""
        workloads = (q.workload for q in self._prepared.qualified)
        workload = next((w for w in workloads if w.template == template), None)
        if workload is None:  # none with these arguments qualified
            return code.resources
        return code.resources_at(math.prod(workload.block), workload.lds_bytes)

    def _references(self) -> References:
        return References(
            self._device.open, self._prepared.codes, self._prepared, self._options.launch_timeout_s
        )

    def _looking_references(self) -> References:
        assert self._microscope is not None  # noqa: S101 (narrows the type)
        return References(
            self._microscope.open, self._prepared.plain, self._prepared,
            self._options.launch_timeout_s,
        )  # fmt: skip

    def _time(self, codes: Codes, spread: References | None) -> tuple[Verdict, Timing]:
        known = self._prepared.qualified
        timed = [n for n, q in enumerate(known) if q.workload.timed] or [*range(len(known))]
        number = max(timed, key=lambda n: known[n].launch_us)
        template = self._prepared.qualified[number].workload.template
        with self._stage("time"):
            return measure(
                self._device, self._options, self._prepared, codes[template], number,
                self._seeds[-1], spread,
            )  # fmt: skip

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self.stage_seconds[name] = self.stage_seconds.get(name, 0.0) + spent


def _compare(code: CodeObject, reference: CodeObject) -> None:
    """Returns where the candidate's code object may be judged beside the reference's.

    Raises:
        Objection: with `rejected`.
    """
    if _sizes(code) != _sizes(reference):
        raise Objection(
            Verdict.REJECTED, "the candidate's arguments have other sizes than the original's"
        )
    own = set(code.objections) - set(reference.objections)
    if own:
        raise Objection(Verdict.REJECTED, min(own))


def _sizes(code: CodeObject) -> list[tuple[bool, int]]:
    """What the arguments are, whatever they are called."""
    return [(parameter.is_pointer, parameter.size) for parameter in code.parameters]
