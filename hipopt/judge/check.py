"""The judging device's part of a trial: does the candidate agree with the reference."""

from __future__ import annotations

from hipopt.device.interface import Device
from hipopt.judge.agreement import Spreads, agree, mismatch
from hipopt.judge.execution import Runner
from hipopt.judge.objection import Objection, unless_fault
from hipopt.judge.options import Codes, JudgeOptions, Prepared
from hipopt.judge.qualified import Qualified
from hipopt.judge.references import References
from hipopt.records import Verdict


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
        address, and is launched once more there.
        """
        workload = qualified.workload
        code = codes[workload.template]
        with Runner(self._device.open, code, self._options.launch_timeout_s) as runner:
            for index, seed in enumerate(self._seeds):
                before = qualified.contents(seed)
                expected = self._expected.expected(number, seed)
                left = unless_fault(runner.run(workload, before, keep_addresses=index % 2 == 1))
                agree(number, qualified, seed, before, expected, left, self._spreads(number, seed))
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
        families = ", ".join(dict.fromkeys(map(qualified.family, self._seeds)))
        return f"{len(self._seeds)} seeds of {families} data (workload {number})"

    def _spreads(self, number: int, seed: int) -> Spreads | None:
        return self._spread.spreads(number, seed) if self._spread else None
