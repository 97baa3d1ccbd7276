"""One candidate's trial: rules, compile, check, time; the first objection is the verdict."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from hipopt.device.interface import CodeObject, CompileFailure, Device, Fault, Session
from hipopt.judge.compare import difference
from hipopt.judge.execution import Arrays, launch_and_read, load, run_once
from hipopt.judge.objection import Objection, unless_fault, within
from hipopt.judge.options import Codes, JudgeOptions, Prepared
from hipopt.judge.qualify import Qualified
from hipopt.judge.statistics import decide
from hipopt.judge.timing import Sampled, sample, summarise
from hipopt.records import Mismatch, Resources, Timing, Verdict
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
        if code.parameters != self._prepared.codes[template].parameters:
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
            expected = self._expected(reference, qualified, before)
            actual = unless_fault(
                run_once(candidate, qualified.workload, before, self._options.launch_timeout_s)
            )
            self._compare(number, qualified, seed, before, expected, actual)
        again = unless_fault(launch_and_read(candidate, self._options.launch_timeout_s))
        if self._mismatch(number, qualified, self._check_seeds[-1], before, expected, again):
            raise Objection(
                Verdict.NONDETERMINISTIC,
                "the same launch on the same data gave other results the second time",
            )
        timed = reference.launch(self._options.launch_timeout_s)
        return 0.0 if isinstance(timed, Fault) else timed.time_us

    def _expected(self, reference: Session, qualified: Qualified, before: Arrays) -> Arrays:
        result = run_once(reference, qualified.workload, before, self._options.launch_timeout_s)
        if isinstance(result, Fault):
            raise Objection(Verdict.REFERENCE_ERROR, f"the original failed: {result.reason}")
        return result

    def _time(self, number: int, codes: Codes) -> tuple[Verdict, Timing]:
        """The verdict on a correct candidate, by its times on workload `number`.

        A difference counts only if fresh processes show it again: where a process happens to lie in
        memory can make all its launches faster or slower.
        """
        sampled = self._sample(number, codes)
        verdict = decide(sampled.interval(), self._options.min_speedup)
        if verdict in {Verdict.FASTER, Verdict.SLOWER}:
            again = self._sample(number, codes)
            sampled += again
            if decide(again.interval(), self._options.min_speedup) is not verdict:
                verdict = Verdict.INCONCLUSIVE
        return verdict, summarise(sampled, number, emulated=self._device.describe().emulated)

    def _sample(self, number: int, codes: Codes) -> Sampled:
        """Both kernels timed in fresh sessions, on data of its own seed, checked throughout."""
        qualified = self._prepared.qualified[number]
        workload, seed = qualified.workload, self._timing_seed
        before = qualified.contents(seed)
        with (
            self._stage("time"),
            self._device.open(self._prepared.codes[workload.template]) as reference,
            self._device.open(codes[workload.template]) as candidate,
        ):
            expected = self._expected(reference, qualified, before)
            unless_fault(load(candidate, workload, before))

            def inspect() -> None:
                left = unless_fault(candidate.read())
                self._compare(number, qualified, seed, before, expected, left)

            options = self._options
            return sample(
                reference, candidate, options.launch_timeout_s, options.min_speedup, inspect
            )

    def _compare(
        self, number: int, qualified: Qualified, seed: int, before: Arrays, expected: Arrays,
        actual: Arrays,
    ) -> None:  # fmt: skip
        found = self._mismatch(number, qualified, seed, before, expected, actual)
        if found:
            raise Objection(Verdict.MISMATCH, found.describe(), mismatch=found)

    def _mismatch(
        self, number: int, qualified: Qualified, seed: int, before: Arrays, expected: Arrays,
        actual: Arrays,
    ) -> Mismatch | None:  # fmt: skip
        rows = zip(
            qualified.workload.buffers, qualified.outputs, before, expected, actual, strict=True
        )
        for buffer, output, was, want, got in rows:
            found = difference(buffer.buffer, was, want, got, poisoned=output)
            if found:
                return Mismatch(
                    workload=number,
                    seed=seed,
                    argument=buffer.name,
                    wrong=found.wrong,
                    length=buffer.length,
                    first_index=found.first_index,
                    expected=found.expected,
                    actual=found.actual,
                    max_abs_error=found.max_abs_error,
                    rtol=found.tolerance.rtol,
                    atol=found.tolerance.atol,
                )
        return None

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self.stage_seconds[name] = self.stage_seconds.get(name, 0.0) + spent


def first_error(output: str) -> str:
    """The first line of a compiler's output that names an error, else its first line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else "no output")
