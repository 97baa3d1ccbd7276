"""Data on which the original itself goes astray say nothing about a candidate.

An index that is computed from data can lead out of a buffer on few of them only, so that none of
those that qualified the workload showed it. What the original reads there differs from process to
process, and so does what it leaves. Where an objection rests on such data, others of the same
family take their place, and the candidate is tried again. No candidate can bring that about: it is
the original that is looked at, on data that nobody knew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

import msgspec

from hipopt.device.interface import Fault, Microscope
from hipopt.judge.execution import load
from hipopt.judge.objection import Objection
from hipopt.judge.options import Prepared
from hipopt.judge.qualified import Qualified
from hipopt.records import FAMILIES, Verdict
from hipopt.workload.fill import POISONS

MOST_TRIALS = 5
"""Of one judgement; where all of them met such data, the original is no yardstick."""
_TRIED = 4
"""Other seeds of the same family, and then of ordinary data."""
_APART = len(FAMILIES) * len(POISONS) << 20
"""Between seeds of the same family and poison, and far from those that rounds of timing draw."""
_ABOUT_RESULTS = frozenset({
    Verdict.MISMATCH, Verdict.NONDETERMINISTIC, Verdict.OUT_OF_BOUNDS, Verdict.CRASHED,
    Verdict.REFERENCE_ERROR, Verdict.UNVERIFIABLE,
})  # fmt: skip


def on_other_data(
    microscope: Microscope | None, timeout_s: float, prepared: Prepared,
    seeds: tuple[int, ...], objection: Objection,
) -> Prepared | Objection:  # fmt: skip
    """The kernel with other data in place of those on which it goes astray.

    The objection itself, where it rests on none, or where nobody can tell; another, with
    `reference_error`, where none can be found that would do in their place.

    Args:
        microscope: runs the original's instrumented build; None: there is none.
        timeout_s: the longest launch.
        prepared: the original.
        seeds: all that the candidate is checked with.
        objection: how its trial ended.
    """
    if microscope is None or objection.data is None or objection.verdict not in _ABOUT_RESULTS:
        return objection
    watch = _Watch(microscope, timeout_s, prepared)
    number, seed = objection.data
    fault = watch.astray(prepared.qualified[number], seed)
    if fault is None:
        return objection
    try:
        return watch.all_replaced([objection.data, *watch.pairs(seeds)])
    except _NoOther:
        return Objection(
            Verdict.REFERENCE_ERROR, f"on some data the original fails: {fault.reason}"
        )


class _NoOther(Exception):
    """The original goes astray on all data that were tried."""


class _Watch:
    """Watches the original's accesses to memory."""

    def __init__(self, microscope: Microscope, timeout_s: float, prepared: Prepared) -> None:
        self._microscope = microscope
        self._timeout_s = timeout_s
        self._prepared = prepared

    def pairs(self, seeds: tuple[int, ...]) -> Iterator[tuple[int, int]]:
        """Every workload's number with every seed."""
        return product(range(len(self._prepared.qualified)), seeds)

    def astray(self, qualified: Qualified, seed: int) -> Fault | None:
        """How the original leaves its buffers on the seed's data; None: it doesn't."""
        code = self._prepared.instrumented.get(qualified.workload.template)
        if code is None or not qualified.instrumented:
            return None
        with self._microscope.open_instrumented(code) as session:
            fault = load(session, qualified.launch(seed), qualified.contents(seed))
            launched = fault or session.launch(self._timeout_s)
        if isinstance(launched, Fault) and launched.verdict is Verdict.OUT_OF_BOUNDS:
            return launched
        return None

    def all_replaced(self, pairs: Iterable[tuple[int, int]]) -> Prepared:
        """The kernel, with other data of each workload and seed on which it goes astray."""
        every, replaced, reason = list(self._prepared.qualified), [], ""
        for number, seed in pairs:
            fault = self.astray(every[number], seed)
            if fault is not None:
                every[number] = self._replaced(every[number], seed)
                replaced.append(f"{number}/{seed}")
                reason = reason or fault.reason
        note = (
            f"other data for workload/seed {', '.join(replaced)}, as the original fails: {reason}"
        )
        notes = (*self._prepared.notes, note)
        return msgspec.structs.replace(self._prepared, qualified=tuple(every), notes=notes)

    def _replaced(self, qualified: Qualified, seed: int) -> Qualified:
        for other in _others(seed):
            replaced = msgspec.structs.replace(
                qualified, instead={**qualified.instead, seed: other}
            )
            if self.astray(replaced, seed) is None:
                return replaced
        raise _NoOther


def _others(seed: int) -> Iterator[int]:
    """Seeds of the same family and poison, then of ordinary data."""
    yield from (seed + _APART * number for number in range(1, _TRIED + 1))
    ordinary = seed - seed // len(POISONS) % len(FAMILIES) * len(POISONS)
    yield from (ordinary + _APART * number for number in range(1, _TRIED + 1))
