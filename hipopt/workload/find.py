"""Workloads found for a kernel that came with none.

What is returned was run: under the microscope it stayed within buffers of the lengths given, and
the caller agreed that a verdict on it would count. The same kernel leads to the same workloads,
unless time runs out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack

from hipopt.device.interface import CompileFailure, Microscope
from hipopt.records import Record, Workload
from hipopt.source.capsule import Capsule
from hipopt.source.usage import Body
from hipopt.workload.branches import Branches, shifts
from hipopt.workload.case import Case, Counts, Diary, FindOptions
from hipopt.workload.describe import describe
from hipopt.workload.ladder import climb
from hipopt.workload.stretch import Stretched, StretchOptions, stretch
from hipopt.workload.templates import template_options, template_values
from hipopt.workload.trace import Tracer
from hipopt.workload.tries import Start, Tries
from hipopt.workload.turns import turns
from hipopt.workload.types import ArgumentType, Types

_LEAST_STRETCH_S = 15.0
"""For launches that are long in one extent, also where the search took all its time."""


class Found(Record, frozen=True, kw_only=True):
    """The workloads found for a kernel, and how."""

    workloads: tuple[Workload, ...] = ()
    """Small ones first, then those for branches that no other takes, the largest for timing, then
    those long in one extent; empty: none found."""
    reasons: tuple[str, ...] = ()
    """For each workload, why it looks as it does."""
    tried: tuple[str, ...] = ()
    """What was tried in vain, with how it ended; which branches no launch takes first."""


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
    """The search through template arguments."""

    def __init__(
        self, capsule: Capsule, microscope: Microscope, counts: Counts, options: FindOptions
    ) -> None:
        self._body = Body(capsule)
        self._microscope = microscope
        self._counts = counts
        self._options = options
        self._diary = Diary(deadline=time.monotonic() + options.budget_s)

    def run(self) -> Found:
        options = template_options(self._body)
        if not options:
            self._diary.note("its template takes any number of arguments, or templates")
        for template in options:
            found = self._with_template(template)
            if found:
                return self._found(found)
            if self._diary.is_over:
                self._diary.note(f"{self._options.budget_s:g} s were not enough")
                break
        return self._found([])

    def _found(self, starts: list[Start]) -> Found:
        sizes = [
            Stretched(s.sight.workload, describe(s.plan, s.size, s.sight)) for s in starts
        ]  # fmt: skip
        given = [one.workload for one in sizes]
        tools = (self._body.capsule, self._microscope)
        left_s = max(_LEAST_STRETCH_S, self._diary.deadline - time.monotonic())
        options = StretchOptions(budget_s=left_s)
        long = stretch(*tools, given, self._counts, options, guessed=True)
        more = turns(*tools, [*given, *(one.workload for one in long)], self._counts)
        large = max(1, len(sizes) - 1)
        found = (*sizes[:large], *more.launches, *sizes[large:], *long)
        return Found(
            workloads=tuple(one.workload for one in found),
            reasons=tuple(one.reason for one in found),
            tried=(*((more.untaken,) if more.untaken else ()), *self._diary.summary()),
        )

    def _with_template(self, template: tuple[str, ...]) -> list[Start]:
        capsule = self._body.capsule
        names, numbers = template_values(capsule, template)
        types = self._types(names)
        if types is None:
            return []
        code = self._microscope.compile_instrumented(
            capsule, template, self._options.compile_timeout_s
        )
        if isinstance(code, CompileFailure):
            shown = f" as <{', '.join(template)}>" if template else ""
            self._diary.note(f"it does not compile{shown}: {_first_error(code.output)}")
            return []
        timeout_s = self._options.launch_timeout_s
        with Tracer(self._microscope, code, types, timeout_s) as tracer, ExitStack() as stack:
            branches = self._branches(template)
            case = Case(
                body=self._body, template=template, types=types, numbers=numbers,
                microscope=self._microscope, tracer=tracer, counts=self._counts,
                options=self._options, diary=self._diary,
                branches=stack.enter_context(branches) if branches is not None else None,
            )  # fmt: skip
            start = Tries(case).first()
            return [] if start is None else climb(case, start)

    def _branches(self, template: tuple[str, ...]) -> Branches | None:
        options = self._options
        capsule = self._body.capsule
        return (
            Branches.of(
                capsule,
                self._microscope,
                template,
                options.compile_timeout_s,
                options.launch_timeout_s,
            )
            if shifts(capsule)
            else None
        )

    def _types(self, names: Mapping[str, str]) -> list[ArgumentType] | None:
        known = Types(self._body.file.pieces)
        found = [known.of(p, names) for p in self._body.capsule.parameters]
        for kind in found:
            if isinstance(kind, str):
                self._diary.note(kind)
        types = [kind for kind in found if not isinstance(kind, str)]
        if len(types) < len(found):
            return None
        if not any(t.is_pointer for t in types):
            self._diary.note("it has no pointer to write through")
            return None
        return types


def _first_error(output: str) -> str:
    errors = [line for line in output.splitlines() if "error" in line]
    return (errors or output.splitlines() or ["no output"])[0][:200]
