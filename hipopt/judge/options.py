"""What the judge is told, and what it knows of a kernel before the first candidate comes."""

from __future__ import annotations

from itertools import compress
from typing import Any

import msgspec

from hipopt.device.interface import CodeObject
from hipopt.judge.qualified import Qualified
from hipopt.records import Record, Workload
from hipopt.source.capsule import Capsule
from hipopt.workload.shapes import suits

Codes = dict[tuple[str, ...], CodeObject]
"""A kernel's code objects by template arguments."""


class JudgeOptions(Record, frozen=True, kw_only=True):
    """How strictly, and for how long, the judge looks."""

    min_speedup: float = 1.05
    """Least speedup that counts as faster."""
    seeds: int = 4
    """Fresh secret seeds that a candidate is checked with; from 4 on, each family is among them."""
    launch_timeout_s: float = 10.0
    """Longest single launch; on the CPU device, of CPU time: a busy machine takes none of it."""
    compile_timeout_s: float = 60.0
    """Longest single compile."""
    timing_budget_s: float = 5.0
    """Wall seconds after which a measurement takes the rounds that it has."""
    check_timeout_s: float = 200.0
    """Longest run of one candidate, all launches and the timing together. Waiting for the device
    does not count."""


class Prepared(Record, frozen=True, kw_only=True):
    """A kernel whose candidates can be judged."""

    reference: Capsule
    codes: Codes
    """The compiled reference."""
    plain: Codes = msgspec.field(default_factory=dict)
    """The reference compiled for the microscope; empty: it can't be looked at there."""
    instrumented: Codes = msgspec.field(default_factory=dict)
    """Likewise, instrumented."""
    twins: Codes = msgspec.field(default_factory=dict)
    """The reference's second build, timed beside the first; what did not compile is left out."""
    qualified: tuple[Qualified, ...]
    """The workloads that count; at least one."""
    guessed: bool
    """True: the workloads were found by hipopt, none were given."""
    reasons: tuple[str, ...] = ()
    """For each workload where it is from, and why it looks as it does; empty: all were given."""
    notes: tuple[str, ...] = ()
    """Why other workloads don't count."""

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """The workloads that count."""
        return tuple(q.workload for q in self.qualified)

    def suiting(self, candidate: Capsule) -> Prepared:
        """Without the workloads that the candidate need not be right on."""
        keeps = [
            suits(workload, self.workloads, self.reference, candidate)
            for workload in self.workloads
        ]
        kept: dict[str, Any] = {"qualified": tuple(compress(self.qualified, keeps))}
        if self.reasons:
            kept["reasons"] = tuple(compress(self.reasons, keeps))
        return self if all(keeps) else msgspec.structs.replace(self, **kept)
