"""One candidate's trial: rules, compile, check, time; the first objection is the verdict."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from hipopt.device.interface import CodeObject, CompileFailure, Device, Fault, Session
from hipopt.judge.agreement import agree, mismatch
from hipopt.judge.execution import launch_and_read, run_once, run_reference
from hipopt.judge.measure import measure
from hipopt.judge.objection import Objection, unless_fault, within
from hipopt.judge.options import Codes, JudgeOptions, Prepared
from hipopt.judge.qualify import Qualified
from hipopt.records import Resources, Timing, Verdict
from hipopt.source.capsule import Capsule
from hipopt.source.rules import check_rules


class Trial:
    """Judges one candidate beside its reference.

    `run` returns the timing of a correct candidate, or raises the `Objection` that ends it.
    """

    def __init__(
        self, device: Device, options: JudgeOptions, prepared: Prepared, candidate: Capsule,
        seeds: tuple[int, ...],
    ) -> None:  # fmt: skip
        self._device = device
        self._options = options
        self._prepared = prepared
        self._candidate = candidate
        self._check_seeds, self._timing_seed = seeds[:-1], seeds[-1]
        self.stage_seconds: dict[str, float] = {}
        self.resources: Resources | None = None

    def run(self) -> tuple[Verdict, Timing]:
        """The verdict on a correct candidate.

        Raises:
            Objection: with the verdict on any other.
            DeviceError: our side failed.
        """
        broken = check_rules(self._candidate, self._prepared.reference)
        if broken:
            raise Objection(Verdict.REJECTED, broken)
        codes = {template: self._compile(template) for template in self._prepared.codes}
        with self._device.exclusive():
            return within(
                self._options.check_timeout_s, lambda: self._check_and_time(codes), "the check"
            )

    def _compile(self, template: tuple[str, ...]) -> CodeObject:
        with self._stage("compile"):
            code = self._device.compile(self._candidate, template, self._options.compile_timeout_s)
        if isinstance(code, CompileFailure):
            first = first_error(code.output)
            raise Objection(code.verdict, first, compiler_output=code.output)
        if _sizes(code) != _sizes(self._prepared.codes[template]):
            raise Objection(
                Verdict.REJECTED, "the candidate's arguments have other sizes than the original's"
            )
        self.resources = code.resources
        return code

    def _check_and_time(self, codes: Codes) -> tuple[Verdict, Timing]:
        slowest, longest_us = 0, -1.0
        for number, qualified in enumerate(self._prepared.qualified):
            template = qualified.workload.template
            with (
                self._device.open(self._prepared.codes[template]) as reference,
                self._device.open(codes[template]) as candidate,
                self._stage("check"),
            ):
                time_us = self._check(number, qualified, reference, candidate)
            if time_us > longest_us:
                slowest, longest_us = number, time_us
        return self._time(slowest, codes)

    def _check(
        self, number: int, qualified: Qualified, reference: Session, candidate: Session
    ) -> float:
        """The reference's time of one launch, µs, if the candidate agrees with it on every seed."""
        for seed in self._check_seeds:
            before = qualified.contents(seed)
            expected = run_reference(
                reference, qualified.workload, before, self._options.launch_timeout_s
            )
            actual = unless_fault(
                run_once(candidate, qualified.workload, before, self._options.launch_timeout_s)
            )
            agree(number, qualified, seed, before, expected, actual)
        again = unless_fault(launch_and_read(candidate, self._options.launch_timeout_s))
        if mismatch(number, qualified, self._check_seeds[-1], before, expected, again):
            raise Objection(
                Verdict.NONDETERMINISTIC,
                "the same launch on the same data gave other results the second time",
            )
        timed = reference.launch(self._options.launch_timeout_s)
        return 0.0 if isinstance(timed, Fault) else timed.time_us

    def _time(self, number: int, codes: Codes) -> tuple[Verdict, Timing]:
        template = self._prepared.qualified[number].workload.template
        with self._stage("time"):
            return measure(
                self._device, self._options, self._prepared, codes[template], number,
                self._timing_seed,
            )  # fmt: skip

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self.stage_seconds[name] = self.stage_seconds.get(name, 0.0) + spent


def _sizes(code: CodeObject) -> list[tuple[bool, int]]:
    """What the arguments are, whatever they are called."""
    return [(parameter.is_pointer, parameter.size) for parameter in code.parameters]


def first_error(output: str) -> str:
    """The first line of a compiler's output that names an error, else its first line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else "no output")
