"""Workloads found for a kernel that came with none.

What is returned was run: under the microscope it stayed within buffers of the lengths given, no two
threads got in each other's way, and the caller agreed that a verdict on it would count. The same
kernel leads to the same workloads, unless time runs out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from hipopt.device.interface import CompileFailure, Fault, Microscope
from hipopt.records import Buffer, Record, Workload
from hipopt.source.capsule import Capsule
from hipopt.source.usage import Body
from hipopt.workload.blocks import block_options
from hipopt.workload.contents import content_options
from hipopt.workload.describe import describe
from hipopt.workload.fill import fill_workload
from hipopt.workload.plan import MAX_LDS_BYTES, Plan, workload
from hipopt.workload.roles import combinations, role_options
from hipopt.workload.sizes import Dim3, Size, aligned_size, large_size, odd_size
from hipopt.workload.templates import template_options, template_values
from hipopt.workload.trace import Sight, Tracer
from hipopt.workload.types import ArgumentType, Types

Counts: TypeAlias = Callable[[Workload], "str | None"]
"""Why a verdict on the workload would not count; None where it would."""


class FindOptions(Record, frozen=True, kw_only=True):
    """How long the search may take."""

    budget_s: float = 20.0
    """Wall seconds for one kernel."""
    launch_timeout_s: float = 3.0
    """Longest launch under the microscope."""
    compile_timeout_s: float = 60.0
    max_tries: int = 160
    """Launches tried for one choice of template arguments."""
    large_time_us: float = 3000.0
    """What a launch of the large workload should take on the emulator, about."""
    max_threads: int = 1 << 18
    """Threads of the large workload, at most."""


class Found(Record, frozen=True, kw_only=True):
    """The workloads found for a kernel, and how."""

    workloads: tuple[Workload, ...] = ()
    """Small ones first, the last for timing; empty where none was found."""
    reasons: tuple[str, ...] = ()
    """For each workload, why it looks as it does."""
    tried: tuple[str, ...] = ()
    """What was tried in vain, with how it ended."""


def find(
    capsule: Capsule, microscope: Microscope, counts: Counts, options: FindOptions | None = None
) -> Found:
    """Workloads on which verdicts about the kernel would count.

    Args:
        capsule: the kernel.
        microscope: where launches are traced.
        counts: the last word on a workload that ran well.
        options: how long to look.
    """
    return _Search(capsule, microscope, counts, options or FindOptions()).run()


class _Search:
    def __init__(
        self, capsule: Capsule, microscope: Microscope, counts: Counts, options: FindOptions
    ) -> None:
        self.body = Body(capsule)
        self.microscope = microscope
        self.counts = counts
        self.options = options
        self.deadline = time.monotonic() + options.budget_s
        self.tried: Counter[str] = Counter()

    def run(self) -> Found:
        options = template_options(self.body)
        if not options:
            self.tried["its template takes any number of arguments, or templates"] += 1
        for template in options:
            found = self._with_template(template)
            if found is not None:
                return found
            if self._is_over():
                break
        return Found(tried=self._summary())

    def _is_over(self) -> bool:
        return time.monotonic() > self.deadline

    def _summary(self) -> tuple[str, ...]:
        return tuple(
            reason if count == 1 else f"{reason} ({count} times)"
            for reason, count in self.tried.most_common(8)
        )

    def _with_template(self, template: tuple[str, ...]) -> Found | None:
        names, numbers = template_values(self.body.capsule, template)
        types = self._types(names)
        if types is None:
            return None
        code = self.microscope.compile_instrumented(
            self.body.capsule, template, self.options.compile_timeout_s
        )
        if isinstance(code, CompileFailure):
            shown = f" as <{', '.join(template)}>" if template else ""
            self.tried[f"it does not compile{shown}: {_first_line(code.output)}"] += 1
            return None
        tracer = Tracer(self.microscope, code, types, self.options.launch_timeout_s)
        with tracer:
            return _Launches(self, template, types, numbers, tracer).run()

    def _types(self, names: Mapping[str, str]) -> list[ArgumentType] | None:
        known = Types(self.body.file.pieces)
        found: list[ArgumentType] = []
        for parameter in self.body.capsule.parameters:
            kind = known.of(parameter, names)
            if isinstance(kind, str):
                self.tried[kind] += 1
                return None
            found.append(kind)
        if not any(t.is_pointer for t in found):
            self.tried["it has no pointer to write through"] += 1
            return None
        return found


class _Launches:
    """The search for launches of one compiled kernel."""

    def __init__(
        self, search: _Search, template: tuple[str, ...], types: Sequence[ArgumentType],
        numbers: Mapping[str, int], tracer: Tracer,
    ) -> None:  # fmt: skip
        self.search = search
        self.body = search.body
        self.template = template
        self.types = types
        self.numbers = numbers
        self.tracer = tracer
        self.racing: list[tuple[Plan, Size, Sight]] = []
        self.may_race = False
        self.axes = sum(
            any(f"{kind}{axis}" in self.body.usage.indices for kind in "tb") for axis in "xyz"
        )

    def run(self) -> Found | None:
        best: tuple[float, Plan, Size, Sight] | None = None
        seen: set[Workload] = set()
        later = 0
        for plan in self._plans():
            if self.search._is_over() or len(seen) > self.search.options.max_tries or later > 12:
                break
            for size in self._small_sizes(plan.block):
                tried = self._try(plan, size, seen)
                if tried is None:
                    continue
                share, plan, sight = tried
                if best is None or share > best[0]:
                    best = (share, plan, size, sight)
                break
            if best is not None:
                later += 1
                if best[0] >= 0.5:
                    break
        best = best or self._racy()
        return None if best is None else self._at_all_sizes(*best[1:])

    def _racy(self) -> tuple[float, Plan, Size, Sight] | None:
        """The first of the launches with a race that counts all the same: the race is harmless."""
        for plan, size, sight in self.racing[:8]:
            objection = self.search.counts(sight.workload)
            if objection is None:
                self.may_race = True
                return _busy_share(sight), plan, size, sight
            self.search.tried[objection] += 1
        return None

    def _plans(self) -> Iterator[Plan]:
        blocks = block_options(self.body, self.numbers)
        contents = content_options(self.body, self.types)
        grids = ["cover", *(["one"] if "bx" in self.body.usage.indices else [])]
        if self.body.capsule.launches:
            grids.insert(0, "host")
        choices: dict[str, Sequence[str]] = {
            " block": [str(i) for i in range(len(blocks))],
            " grid": grids,
            " contents": [str(i) for i in range(len(contents))],
            **role_options(self.body, self.types, self.numbers),
        }
        weights = {" block": 2.0, " grid": 1.5, " contents": 2.0}
        for chosen in combinations(choices, weights):
            yield Plan(
                template=self.template,
                block=blocks[int(chosen.pop(" block"))],
                grid=chosen.pop(" grid"),  # type: ignore[arg-type]  # one of grids
                contents=contents[int(chosen.pop(" contents"))],
                roles=chosen,
            )

    def _small_sizes(self, block: Dim3) -> tuple[Size, Size]:
        return odd_size(block, self.axes), aligned_size(block, self.axes)

    def _build(self, plan: Plan, size: Size) -> Callable[[Mapping[str, int]], Workload]:
        return lambda lengths: workload(plan, size, self.body, self.types, self.numbers, lengths)

    def _try(self, plan: Plan, size: Size, seen: set[Workload]) -> tuple[float, Plan, Sight] | None:
        """The share of busy threads, the plan mended, and what was seen; None where it won't do."""
        first = self._build(plan, size)({})
        if first in seen:
            return None
        seen.add(first)
        sight = self._traced(plan, size)
        if sight is None:
            return None
        plan, sight = self._less_idle(plan, size, sight)
        if sight.race is not None:
            self.search.tried[sight.race] += 1
            self.racing.append((plan, size, sight))
            return None
        objection = self.search.counts(sight.workload)
        if objection is not None:
            self.search.tried[objection] += 1
            return None
        return _busy_share(sight), plan, sight

    def _traced(self, plan: Plan, size: Size) -> Sight | None:
        sight = self.tracer.trace(self._build(plan, size), {})
        if sight.trouble is None:
            return sight
        self.search.tried[sight.reason] += 1
        return None

    def _less_idle(self, plan: Plan, size: Size, sight: Sight) -> tuple[Plan, Sight]:
        """The plan with fewer blocks, where that loses nothing of what is reached."""
        if sight.busy * 2 >= sight.threads or sight.workload.grid[0] < 2 or not sight.busy:
            return plan, sight
        fewer = plan._replace(share=max(sight.busy / sight.threads, 1 / sight.workload.grid[0]))
        again = self.tracer.trace(self._build(fewer, size), {})
        if again.trouble is None and again.reaches == sight.reaches and again.busy == sight.busy:
            return fewer, again
        return plan, sight

    # -- from one launch to several sizes --------------------------------------------------------

    def _at_all_sizes(self, plan: Plan, size: Size, sight: Sight) -> Found:
        plan, sight = self._least_lds(plan, size, sight)
        kept: list[tuple[Size, Sight]] = [(size, sight)]
        if size.name == "odd":
            other = self._small_sizes(plan.block)[1]
            kept += self._also(plan, other)
        for scale in self._scales(sight):
            large = large_size(size, scale, plan.block, self.axes)
            more = self._also(plan, large)
            if more:
                kept += more
                break
        unique = list({s.workload: (z, s) for z, s in kept}.values())
        return Found(
            workloads=tuple(s.workload for _, s in unique),
            reasons=tuple(describe(plan, z, s) for z, s in unique),
            tried=self.search._summary(),
        )

    def _also(self, plan: Plan, size: Size) -> list[tuple[Size, Sight]]:
        if self.search._is_over():
            return []
        sight = self._traced(plan, size)
        if sight is None or (sight.race is not None and not self.may_race):
            return []
        objection = self.search.counts(sight.workload)
        if objection is not None:
            self.search.tried[f"at {size.name} size: {objection}"] += 1
            return []
        return [(size, sight)]

    def _scales(self, sight: Sight) -> list[float]:
        """By how much to enlarge the launch seen, the most wanted first."""
        options = self.search.options
        x, y, z = sight.workload.block
        threads = max(1, sight.blocks * x * y * z)
        scale = min(
            options.large_time_us / max(1.0, self._time_us(sight)), options.max_threads / threads
        )
        return [s for s in (scale, scale / 4, scale / 16) if s > 1.5]

    def _time_us(self, sight: Sight) -> float:
        """How long the launch takes on the emulator, uninstrumented."""
        microscope, options = self.search.microscope, self.search.options
        code = microscope.compile(self.body.capsule, self.template, options.compile_timeout_s)
        if isinstance(code, CompileFailure):
            return options.large_time_us
        arrays = iter(fill_workload(sight.workload, 1))
        args = [next(arrays) if isinstance(a, Buffer) else a for a in sight.workload.args]
        launch = sight.workload
        with microscope.open(code) as session:
            session.load(launch.grid, launch.block, launch.lds_bytes, args)
            times = [session.launch(options.launch_timeout_s) for _ in range(3)]
        return min((t.time_us for t in times if not isinstance(t, Fault)), default=1.0)

    def _least_lds(self, plan: Plan, size: Size, sight: Sight) -> tuple[Plan, Sight]:
        """The plan with no more dynamic LDS than it needs at this size, where nothing says more."""
        if not self.body.usage.lds_types or sight.workload.lds_bytes < MAX_LDS_BYTES // 2:
            return plan, sight
        low, high = 0, sight.workload.lds_bytes
        while high - low > 16:
            middle = (low + high) // 2 // 8 * 8
            fewer = plan._replace(lds_bytes=middle)
            again = self.tracer.trace(self._build(fewer, size), {})
            if again.trouble is None:
                high, sight = middle, again
            else:
                low = middle
        return plan._replace(lds_bytes=high), sight


def _busy_share(sight: Sight) -> float:
    """Share of threads that leave something behind; all count where each block leaves something."""
    if sight.busy >= sight.blocks > 1:
        return max(0.5, sight.busy / max(1, sight.threads))
    return sight.busy / max(1, sight.threads)


def _first_line(output: str) -> str:
    errors = [line for line in output.splitlines() if "error" in line]
    return (errors or output.splitlines() or ["no output"])[0][:200]
