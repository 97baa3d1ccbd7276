"""The reference beside a candidate: what it leaves behind, and how far rounding moves that."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Self

from hipopt.device.interface import Fault, Schedule
from hipopt.judge.agreement import Spreads
from hipopt.judge.execution import Arrays, Opener, Runner
from hipopt.judge.objection import Objection
from hipopt.judge.options import Codes, Prepared
from hipopt.judge.spread import spread_of
from hipopt.judge.tolerance import Spread
from hipopt.records import Verdict

KEPT_BYTES = 1 << 30
"""Results kept for another look; beyond that the reference runs again."""
KEPT_SPREADS = 16
"""Likewise; the oldest goes."""


class References:
    """Runs the reference on one device. Use as a context manager.

    Args:
        opener: opens a session of a code object.
        codes: the reference compiled for that device.
        prepared: the kernel.
        timeout_s: the longest launch.
    """

    def __init__(self, opener: Opener, codes: Codes, prepared: Prepared, timeout_s: float) -> None:
        self._prepared = prepared
        self._runners = {t: Runner(opener, code, timeout_s) for t, code in codes.items()}
        self._expected: dict[tuple[int, int], Arrays] = {}
        self._spread: dict[tuple[int, int], list[Spread] | None] = {}
        self._room = KEPT_BYTES

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.rest()

    def rest(self) -> None:
        """No session is left; what was found stays.

        To be called in a thread that is about to end, as its sessions end with it.
        """
        with ExitStack() as stack:
            for runner in self._runners.values():
                stack.push(runner.__exit__)

    def expected(self, number: int, seed: int) -> Arrays:
        """What the reference leaves of workload `number` on the seed's data.

        Raises:
            Objection: with `reference_error`.
        """
        key = (number, seed)
        if key in self._expected:
            return self._expected[key]
        qualified = self._prepared.qualified[number]
        left = self._runner(number).run(qualified.launch(seed), qualified.contents(seed))
        if isinstance(left, Fault):
            raise Objection(Verdict.REFERENCE_ERROR, f"the original failed: {left.reason}")
        self._room -= sum(array.nbytes for array in left)
        if self._room > 0:
            self._expected[key] = left
        return left

    def in_order(self, number: int, seed: int, order: Schedule) -> Arrays | Fault:
        """What the reference leaves of it on the seed's data in another order of threads."""
        qualified = self._prepared.qualified[number]
        contents = qualified.contents(seed)
        return self._runner(number).run(qualified.launch(seed), contents, order)

    def spreads(self, number: int, seed: int) -> Spreads:
        """How far rounding moves that, found when it is first asked for."""
        return partial(self._spread_of, number, seed)

    def _spread_of(self, number: int, seed: int) -> list[Spread] | None:
        key = (number, seed)
        if key not in self._spread:
            qualified = self._prepared.qualified[number]
            found = None
            if qualified.measured:
                moved = spread_of(
                    self._runner(number), qualified.launch(seed), qualified.contents(seed),
                    in_any_order=qualified.any_order,
                )  # fmt: skip
                found = None if isinstance(moved, Fault) else moved
            while len(self._spread) >= KEPT_SPREADS:
                del self._spread[next(iter(self._spread))]
            self._spread[key] = found
        return self._spread[key]

    def _runner(self, number: int) -> Runner:
        return self._runners[self._prepared.qualified[number].workload.template]
