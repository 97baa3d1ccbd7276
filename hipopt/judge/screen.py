"""The microscope's part of a trial: a candidate looked at closely, on a CPU core.

First its instrumented build: every access to memory is watched, and unordered ones are found. Then
its plain build, with threads and blocks in several orders. Variables that are not set hold other
values in the two: what they leave is compared last.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import NamedTuple

from hipopt.device.interface import (
    FORWARD,
    Conflict,
    Fault,
    Microscope,
    Observation,
    Schedule,
)
from hipopt.judge.agreement import mismatch
from hipopt.judge.execution import Arrays, Runner, load
from hipopt.judge.objection import Objection, resting_on, unless_fault
from hipopt.judge.options import Codes, JudgeOptions, Prepared
from hipopt.judge.qualified import Qualified
from hipopt.judge.references import References
from hipopt.judge.spread import REVERSE, shuffled
from hipopt.records import Mismatch, Verdict

INSTRUMENTED_S = 0.6
"""Wall seconds of instrumented launches, by the reference's, that a candidate is looked at for; the
quickest workload is looked at however long it takes."""


class _Seen(NamedTuple):
    """An instrumented launch that ended well."""

    observation: Observation
    left: Arrays


class Screen:
    """Looks at one candidate on the microscope; raises the `Objection` that ends its trial."""

    def __init__(
        self, microscope: Microscope, options: JudgeOptions, prepared: Prepared,
        references: References, seeds: tuple[int, ...], *, decides: bool,
    ) -> None:  # fmt: skip
        self._microscope = microscope
        self._options = options
        self._prepared = prepared
        self._references = references
        self._seeds = seeds
        self._decides = decides
        """Whether the microscope is the judging device, so that nothing else will run lockstep."""
        self.lockstep: Conflict | None = None
        """Where the candidate counts on lanes in step."""
        self.checks: list[str] = []
        self._seen: list[tuple[int, int, Arrays]] = []
        """Of each workload looked at: its number, the seed, and what the candidate left."""

    def observe(self, instrumented: Codes) -> None:
        """Returns where the instrumented candidate ends well and shows no race of its own.

        Raises:
            Objection: with the fault's verdict, or `nondeterministic`.
        """
        for number, qualified in self._quickest():
            seed = self._seeds[number % len(self._seeds)]
            where = f"(workload {number}, {qualified.family(seed)} data)"
            seen = self._observed(instrumented, qualified, seed)
            if isinstance(seen, Fault) or (seen.observation.race and not qualified.races):
                own = self._observed(self._prepared.instrumented, qualified, seed)
                if isinstance(own, Fault) or own.observation.race is not None:
                    self.checks.append(f"instrumented build: the original errs, too {where}")
                    continue
                raise _objection(seen, where)
            self.lockstep = self.lockstep or seen.observation.lockstep
            self._seen.append((number, seed, seen.left))
            self.checks.append(f"instrumented build: in bounds, no race of its own {where}")

    def run_in_orders(self, codes: Codes) -> None:
        """Returns where the candidate agrees with the reference in every order of threads tried.

        Raises:
            Objection: with the fault's verdict, `nondeterministic` where only the order matters,
                `mismatch`, or `unverifiable` where the candidate counts on lanes in step.
        """
        with ExitStack() as stack:
            runners = {
                template: stack.enter_context(
                    Runner(self._microscope.open, code, self._options.launch_timeout_s)
                )
                for template, code in codes.items()
            }
            for number, qualified in enumerate(self._prepared.qualified):
                if qualified.screened:
                    self._run_in_orders(number, qualified, runners[qualified.workload.template])

    def compare_instrumented(self) -> None:
        """Returns where the instrumented candidate left what the reference leaves.

        Raises:
            Objection: with `nondeterministic`, where the reference's own instrumented build agrees
                with the plain one.
        """
        for number, seed, left in self._seen if self.lockstep is None else ():
            qualified = self._prepared.qualified[number]
            before = qualified.contents(seed)
            found = self._compared(number, seed, before, left, FORWARD)
            if found is None:
                continue
            own = self._observed(self._prepared.instrumented, qualified, seed)
            if isinstance(own, Fault) or self._compared(number, seed, before, own.left, FORWARD):
                self.checks.append(f"variables not set: the original errs, too (workload {number})")
                continue
            raise Objection(
                Verdict.NONDETERMINISTIC,
                "the results depend on how it is compiled, as where a variable is read before "
                f"it is set: {found.describe()}",
                mismatch=found,
            )

    def _run_in_orders(self, number: int, qualified: Qualified, runner: Runner) -> None:
        for index, order in enumerate(_orders(self._seeds)):
            seed = self._seeds[index % len(self._seeds)]
            before = qualified.contents(seed)
            found = self._compared(
                number, seed, before, runner.run(qualified.launch(seed), before, order), order
            )
            if found is None:
                continue
            if self._errs_too(number, seed, before, order):
                self.checks.append(f"order of threads: the original errs, too (workload {number})")
                continue
            if self.lockstep is not None:
                self._relies_on_lockstep(found)
                return
            forward = self._compared(number, seed, before, runner.again(), FORWARD)
            if forward is not None:
                raise Objection(Verdict.MISMATCH, forward.describe(), mismatch=forward)
            raise Objection(
                Verdict.NONDETERMINISTIC,
                f"the results depend on the order of threads: {found.describe()}",
                mismatch=found,
            )
        self.checks.append(f"forward, reverse and shuffled orders of threads (workload {number})")

    def _errs_too(self, number: int, seed: int, before: Arrays, order: Schedule) -> bool:
        """Whether the original's own results depend on the order, on the same data.

        As where two threads write to one place on some data alone, and none of these qualified it.
        """
        left = self._references.in_order(number, seed, order)
        return isinstance(left, Fault) or bool(self._compared(number, seed, before, left, order))

    def _compared(
        self, number: int, seed: int, before: Arrays, left: Arrays | Fault, order: Schedule
    ) -> Mismatch | None:
        """Where what the candidate left is off.

        Raises:
            Objection: with the verdict of the fault that it left instead.
        """
        with resting_on(number, seed):
            arrays = unless_fault(left)
            expected = self._references.expected(number, seed)
        spreads = self._references.spreads(number, seed)
        qualified = self._prepared.qualified[number]
        return mismatch(number, qualified, seed, before, expected, arrays, spreads, order)

    def _relies_on_lockstep(self, found: Mismatch) -> None:
        assert self.lockstep is not None  # noqa: S101 (narrows the type)
        if self._decides:
            raise Objection(
                Verdict.UNVERIFIABLE,
                "it relies on lockstep, which hardware may give and an emulator does not: "
                f"{self.lockstep.reason}. Here {found.describe()}",
                mismatch=found,
            )
        self.checks.append("orders of threads not tried: it relies on lockstep")

    def _observed(self, instrumented: Codes, qualified: Qualified, seed: int) -> _Seen | Fault:
        code = instrumented[qualified.workload.template]
        with self._microscope.open_instrumented(code) as session:
            fault = load(session, qualified.launch(seed), qualified.contents(seed))
            launched = fault or session.launch(self._options.launch_timeout_s)
            left = launched if isinstance(launched, Fault) else session.read()
            return left if isinstance(left, Fault) else _Seen(session.observe(), left)

    def _quickest(self) -> list[tuple[int, Qualified]]:
        """The workloads whose instrumented launches fit the time, quickest first."""
        known = enumerate(self._prepared.qualified)
        watched = [(n, q) for n, q in known if q.instrumented and q.workload.timed]
        chosen: list[tuple[int, Qualified]] = []
        spent_s = 0.0
        for number, qualified in sorted(watched, key=lambda q: q[1].instrumented_s):
            spent_s += qualified.instrumented_s
            if not chosen or spent_s <= INSTRUMENTED_S:
                chosen.append((number, qualified))
        return chosen


def _objection(seen: _Seen | Fault, where: str) -> Objection:
    if isinstance(seen, Fault):
        return Objection(seen.verdict, seen.reason)
    race = seen.observation.race
    assert race is not None  # noqa: S101 (what the caller found)
    return Objection(Verdict.NONDETERMINISTIC, f"a race: {race.reason} {where}")


def _orders(seeds: tuple[int, ...]) -> tuple[Schedule, ...]:
    """Drawn from the seeds, so that a verdict can be replayed."""
    return FORWARD, REVERSE, shuffled(seeds[0]), shuffled(seeds[-1] + 1)
