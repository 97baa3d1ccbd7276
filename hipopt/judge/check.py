"""The judging device's part of a trial: does the candidate agree with the reference."""

from __future__ import annotations

import numpy as np

from hipopt.device.interface import CodeObject, Device
from hipopt.judge.agreement import Spreads, agree, mismatch
from hipopt.judge.execution import Arrays, Runner
from hipopt.judge.objection import Objection, resting_on, unless_fault
from hipopt.judge.options import Codes, JudgeOptions, Prepared
from hipopt.judge.qualified import Qualified
from hipopt.judge.references import References
from hipopt.records import Verdict

_EVERY = 16
"""One result in so many stands in an output before a launch, blocks' first elements among them."""


class Check:
    """Compares one candidate with its reference, on every workload, for every seed."""

    def __init__(
        self, device: Device, options: JudgeOptions, prepared: Prepared, expected: References,
        spread: References | None, seeds: tuple[int, ...],
    ) -> None:  # fmt: skip
        self._device = device
        self._options = options
        self._prepared = prepared
        self._expected = expected
        self._spread = spread
        self._seeds = seeds

    def run(self, codes: Codes) -> list[str]:
        """What was checked, where the candidate agrees with the reference everywhere.

        Raises:
            Objection: with `mismatch`, `nondeterministic`, or a fault's verdict.
        """
        return [
            self._check(number, qualified, codes)
            for number, qualified in enumerate(self._prepared.qualified)
        ]

    def _check(self, number: int, qualified: Qualified, codes: Codes) -> str:
        """What was checked of one workload.

        Content is fresh at other and at the same addresses; in the end the same lies at another
        address, and is launched once more there. Last, a few results stand in the outputs already.
        """
        code = codes[qualified.workload.template]
        if not qualified.workload.timed:
            return self._check_once(number, qualified, code)
        with Runner(self._device.open, code, self._options.launch_timeout_s) as runner:
            for index, seed in enumerate(self._seeds):
                with resting_on(number, seed):
                    before, workload = qualified.contents(seed), qualified.launch(seed)
                    expected = self._expected.expected(number, seed)
                    left = unless_fault(runner.run(workload, before, keep_addresses=index % 2 == 1))
                    agree(
                        number, qualified, seed, before, expected, left,
                        self._spreads(number, seed),
                    )  # fmt: skip
            for what in ("at other addresses", "once more"):
                rerun = runner.again() if what == "once more" else runner.run(workload, before)
                found = mismatch(
                    number, qualified, seed, before, expected, unless_fault(rerun),
                    self._spreads(number, seed),
                )  # fmt: skip
                if found:
                    raise Objection(
                        Verdict.NONDETERMINISTIC,
                        f"launched {what}, the same data gave other results: {found.describe()}",
                        mismatch=found,
                    )
            left = unless_fault(runner.run(workload, _tempting(qualified, before, expected, seed)))
            agree(number, qualified, seed, before, expected, left, self._spreads(number, seed))
        families = ", ".join(dict.fromkeys(map(qualified.family, self._seeds)))
        return f"{len(self._seeds)} seeds of {families} data (workload {number})"

    def _check_once(self, number: int, qualified: Qualified, code: CodeObject) -> str:
        """What was checked of a workload that only adds a size: one launch tells.

        Where the original itself fails on these data, nothing does.
        """
        seed = self._seeds[number % len(self._seeds)]
        before = qualified.contents(seed)
        try:
            expected = self._expected.expected(number, seed)
        except Objection as objection:
            return f"nothing, as {objection.reason} (workload {number})"
        with (
            resting_on(number, seed),
            Runner(self._device.open, code, self._options.launch_timeout_s) as runner,
        ):
            left = unless_fault(runner.run(qualified.launch(seed), before))
        agree(number, qualified, seed, before, expected, left, self._spreads(number, seed))
        return f"one seed of {qualified.family(seed)} data (workload {number})"

    def _spreads(self, number: int, seed: int) -> Spreads | None:
        return self._spread.spreads(number, seed) if self._spread else None


def _tempting(qualified: Qualified, before: Arrays, expected: Arrays, seed: int) -> Arrays:
    """What the buffers hold before, but a few of the outputs' elements are right already.

    A candidate that looks at one to find out whether the work is done leaves the others poisoned.
    """
    rng = np.random.default_rng(seed)
    tempting = []
    for output, was, want in zip(qualified.outputs, before, expected, strict=True):
        few = (np.arange(was.size) % _EVERY == 0) | (rng.random(was.size) < 1 / _EVERY)
        tempting.append(np.where(few, want, was) if output else was)
    return tempting
