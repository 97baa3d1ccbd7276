"""One kernel with one choice of template arguments, ready to be launched and looked at."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from numpy.typing import NDArray

from hipopt.device.interface import CompileFailure, Fault, Microscope
from hipopt.records import Buffer, Record, Workload
from hipopt.source.usage import Body
from hipopt.workload.branches import Branches
from hipopt.workload.fill import fill_workload
from hipopt.workload.plan import Plan, workload
from hipopt.workload.sizes import Size
from hipopt.workload.trace import Build, Sight, Tracer
from hipopt.workload.types import ArgumentType

Counts: TypeAlias = "Callable[[Workload], str | None]"
"""Why a verdict on the workload would not count; None where it would."""


RUN_SEED = 1
"""Of the data that plain runs take."""
_TOLD = 8
_TOLD_REFUSED = 4


class FindOptions(Record, frozen=True, kw_only=True):
    """How long the search may take."""

    budget_s: float = 20.0
    """Wall seconds for one kernel."""
    launch_timeout_s: float = 2.0
    """Longest launch under the microscope."""
    compile_timeout_s: float = 60.0
    max_tries: int = 160
    """Launches tried for one choice of template arguments."""
    max_refused: int = 24
    """Launches that run well but don't count, for one choice of template arguments."""
    look_s: float = 2.0
    """Wall seconds that looking at the large workload may take, about."""
    large_time_us: float = 3000.0
    """What a launch of the large workload should take on the emulator, about."""
    max_threads: int = 1 << 18
    """Threads of the large workload, at most."""


@dataclass(kw_only=True)
class Diary:
    """What a search has tried in vain, and when it has to end."""

    deadline: float
    """As `time.monotonic` tells it."""
    tried: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    """Of the launches that ran well, why verdicts on them would not count."""

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.deadline

    def note(self, reason: str) -> None:
        """One more try ended for that reason."""
        self.tried[reason] += 1

    def note_refused(self, reason: str) -> None:
        """A launch that ran well would not count for that reason."""
        self.refused[reason] += 1

    def summary(self) -> tuple[str, ...]:
        """The commonest reasons; those of launches that ran well, which came closest, first."""
        refused = self.refused.most_common(_TOLD_REFUSED)
        reasons = [*refused, *self.tried.most_common(_TOLD - len(refused))]
        return tuple(
            reason if count == 1 else f"{reason} ({count} times)" for reason, count in reasons
        )


@dataclass(frozen=True, kw_only=True)
class Case:
    """A kernel's launches, built, traced and run."""

    body: Body
    template: tuple[str, ...]
    types: Sequence[ArgumentType]
    numbers: Mapping[str, int]
    """The template's integers by name."""
    microscope: Microscope
    tracer: Tracer
    counts: Counts
    options: FindOptions
    diary: Diary
    branches: Branches | None = None
    """To see whether a launch shifts by what is no number of bits; None: no need."""

    @property
    def axes(self) -> int:
        """How many of x, y and z the kernel's indices use."""
        indices = self.body.usage.indices
        return sum(f"t{axis}" in indices or f"b{axis}" in indices for axis in "xyz")

    def build(self, plan: Plan, size: Size) -> Build:
        """The plan's workload at that size, for given lengths of the buffers."""
        return lambda lengths: workload(plan, size, self.body, self.types, self.numbers, lengths)

    def look(self, plan: Plan, size: Size, patience_s: float = math.inf) -> Sight:
        """What the plan's launch does at that size, or that it took longer than `patience_s`."""
        return self.tracer.trace(self.build(plan, size), {}, patience_s)

    def traced(self, plan: Plan, size: Size) -> Sight | None:
        """What the plan's launch does at that size; None, noted, where it does not run well."""
        sight = self.look(plan, size)
        if sight.trouble is None:
            return sight
        self.diary.note(sight.reason)
        return None

    def shifts_wrongly(self, launch: Workload) -> bool:
        """Whether something is shifted by what is no number of bits, which may do anything."""
        return self.branches is not None and self.branches.shifts_wrongly(launch)

    def does_count(self, launch: Workload) -> bool:
        """Whether a verdict on it would count; why not is noted."""
        objection = self.counts(launch)
        if objection is not None:
            self.diary.note_refused(objection)
        return objection is None

    def run(self, launch: Workload) -> tuple[float, list[NDArray[Any]]] | None:
        """Microseconds of the launch without instrumentation, and what it leaves; None: a fault."""
        code = self.microscope.compile(
            self.body.capsule, self.template, self.options.compile_timeout_s
        )
        if isinstance(code, CompileFailure):
            return None
        arrays = iter(fill_workload(launch, RUN_SEED))
        args = [next(arrays) if isinstance(a, Buffer) else a for a in launch.args]
        with self.microscope.open(code) as session:
            session.load(launch.grid, launch.block, launch.lds_bytes, args)
            session.launch(self.options.launch_timeout_s)
            again = session.launch(self.options.launch_timeout_s)
            left = session.read()
        if isinstance(again, Fault) or isinstance(left, Fault):
            return None
        return again.time_us, left
