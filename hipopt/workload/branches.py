"""Which branches of a kernel a launch takes.

The kernel is compiled once more with a pointer as its last parameter. Every branch leaves a mark
through it: both ways out of an `if`, a condition's two values, a `case`, a loop's body, and one
thread's second round through it. So does a shift by less than nothing or by more than there are
bits, which may do anything. Helpers aren't looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray
from tree_sitter import Node

from hipopt.device.interface import CodeObject, CompileFailure, Fault, Microscope, Session
from hipopt.records import Buffer, Workload
from hipopt.source.capsule import Capsule, KernelParameter
from hipopt.source.tree import first, parse_tree, span, walk
from hipopt.source.usage import Body
from hipopt.workload.fill import fill_workload

_MARKS = "hipopt_branches"
_ROUNDS = "hipopt_rounds"
_SHIFTS = frozenset({"<<", ">>"})
_SHIFTED = re.compile(r"(?:<<|>>)=?\s*(?![\s=\d<>])")
"""By what is no number."""
_SIMPLE = frozenset({
    "identifier", "number_literal", "parenthesized_expression", "binary_expression",
    "field_expression", "field_identifier", "subscript_expression",
})  # fmt: skip
"""What may be evaluated once more without a trace."""
_LOOPS = frozenset({"for_statement", "while_statement", "do_statement", "for_range_loop"})
WRONG_SHIFT = 0
_PARAMETER = KernelParameter(
    name=_MARKS, type_text="unsigned char*", is_pointer=True, is_const=False, dtype="uint8"
)
_SEEDS = (1, 2)


class Marked(NamedTuple):
    """A kernel whose branches leave marks."""

    capsule: Capsule
    lines: tuple[int, ...]
    """For each mark the line in the capsule's source, from 1; the first is that of wrong shifts."""


def mark(capsule: Capsule, *, conditions: bool) -> Marked | None:
    """The kernel with marks; None where its text is not to be found.

    Args:
        capsule: the kernel.
        conditions: whether `a ? b : c` is a branch: not every type of b and c bears a mark.
    """
    text = capsule.kernel_text
    root = parse_tree(text, Body(capsule).kernel.qualifiers)
    header, body = first(root, "parameter_list"), first(root, "compound_statement")
    if text not in capsule.source or header is None or body is None:
        return None
    marker = _Marker(text)
    for node in walk(body):
        marker.visit(node, conditions=conditions)
    rounds = f" unsigned char {_ROUNDS}[{max(1, marker.loops)}] = {{}};"
    marker.put(header.end_byte - 1, f", unsigned char* {_MARKS}")
    marker.put(body.start_byte + 1, rounds)
    marked = marker.applied(text)
    above = capsule.source[: capsule.source.index(text)].count("\n")
    return Marked(
        msgspec.structs.replace(
            capsule,
            source=capsule.source.replace(text, marked),
            kernel_text=marked,
            parameters=(*capsule.parameters, _PARAMETER),
        ),
        tuple(above + line for line in marker.lines),
    )


class Taken(NamedTuple):
    """What a launch does."""

    branches: frozenset[int]
    """Those taken; none where it does not end well, or shifts by what is no number of bits."""
    written: tuple[float, ...]
    """Share of each buffer that it changes; empty where it takes no branch."""


NOTHING = Taken(frozenset(), ())


class _Marker:
    """Collects what is put into the text."""

    def __init__(self, text: str) -> None:
        self.lines = [0]
        self.loops = 0
        self._text = text
        self._puts: list[tuple[int, int, str]] = []

    def put(self, at: int, text: str, *, closing: bool = False) -> None:
        """At the same place what closes comes first, innermost first, then what opens."""
        order = -len(self._puts) if closing else len(self._puts) + 1
        self._puts.append((at, order, text))

    def applied(self, text: str) -> str:
        """The text with all that is put into it."""
        for at, _, more in sorted(self._puts, reverse=True):
            text = text[:at] + more + text[at:]
        return text

    def visit(self, node: Node, *, conditions: bool) -> None:
        """Marks the branches that begin at this node."""
        if node.type == "if_statement":
            self._mark_if(node)
        elif node.type in _LOOPS:
            self._mark_loop(node)
        elif node.type == "case_statement":
            colon = next((c for c in node.children if c.type == ":"), None)
            if colon is not None:
                self.put(colon.end_byte, f" {self._next(node)};")
        elif node.type == "conditional_expression" and conditions:
            for field in ("consequence", "alternative"):
                value = node.child_by_field_name(field)
                if value is not None:
                    self._wrap(value, f"({self._next(value)}, ", ")")
        elif node.type == "binary_expression" and conditions:
            self._mark_shift(node)

    def _mark_if(self, node: Node) -> None:
        consequence = node.child_by_field_name("consequence")
        alternative = node.child_by_field_name("alternative")
        if consequence is None:
            return
        taken = f"{{ {self._next(consequence)}; "
        if alternative is None:
            self._wrap(consequence, taken, f" }} else {{ {self._next(node)}; }}")
        else:
            other = alternative.named_children[-1]
            self._wrap(consequence, taken, " }")
            self._wrap(other, f"{{ {self._next(other)}; ", " }")

    def _mark_shift(self, node: Node) -> None:
        operator = node.child_by_field_name("operator")
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        if operator is None or operator.type not in _SHIFTS or left is None or right is None:
            return
        if all(inner.type in _SIMPLE for inner in walk(right) if inner.is_named):
            bits = f"8 * sizeof(({span(self._text, left)}) + 0)"
            by = span(self._text, right)
            wrong = f"(void)((unsigned long long)({by}) >= {bits} && ({_MARKS}[0] = 1))"
            self._wrap(right, f"({wrong}, ", ")")

    def _mark_loop(self, node: Node) -> None:
        body = node.child_by_field_name("body")
        if body is None:
            return
        again = f"{_ROUNDS}[{self.loops}]"
        self.loops += 1
        first_round, later = self._next(body), self._next(node)
        self._wrap(body, f"{{ {first_round}; if ({again}) {later}; {again} = 1; ", " }")

    def _wrap(self, node: Node, before: str, behind: str) -> None:
        self.put(node.start_byte, before)
        self.put(node.end_byte, behind, closing=True)

    def _next(self, node: Node) -> str:
        self.lines.append(node.start_point.row + 1)
        return f"(void)({_MARKS}[{len(self.lines) - 1}] = 1)"


def shifts(capsule: Capsule) -> bool:
    """Whether the kernel's own text shifts by what may be no number of bits."""
    return _SHIFTED.search(capsule.kernel_text) is not None


class Branches:
    """Runs launches of one kernel to see which branches they take. A context manager."""

    def __init__(
        self, microscope: Microscope, code: CodeObject, lines: Sequence[int], timeout_s: float
    ) -> None:
        self.lines = lines
        """Of each branch the line in the capsule's source, from 1."""
        self._microscope = microscope
        self._code = code
        self._timeout_s = timeout_s
        self._stack = ExitStack()
        self._session: Session | None = None

    @classmethod
    def of(
        cls, capsule: Capsule, microscope: Microscope, template: tuple[str, ...], timeout_s: float,
        launch_timeout_s: float,
    ) -> Branches | None:  # fmt: skip
        """For that kernel; None where it does not compile with marks."""
        for conditions in (True, False):
            marked = mark(capsule, conditions=conditions)
            if marked is None:
                return None
            code = microscope.compile(marked.capsule, template, timeout_s)
            if not isinstance(code, CompileFailure):
                return cls(microscope, code, marked.lines, launch_timeout_s)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:  # fmt: skip
        self._close()

    def taken(self, launch: Workload) -> Taken:
        """What the launch does on ordinary data."""
        ran = [self._run(launch, seed) for seed in _SEEDS]
        done = [one for one in ran if one is not None]
        branches = frozenset[int]().union(*(one.branches for one in done))
        if WRONG_SHIFT in branches or len(done) < len(_SEEDS):
            return NOTHING
        shares = zip(*(one.written for one in done), strict=True)
        return Taken(branches, tuple(map(min, shares)))

    def shifts_wrongly(self, launch: Workload) -> bool:
        """Whether on ordinary data something is shifted by what is no number of bits."""
        ran = (self._run(launch, seed) for seed in _SEEDS)
        return any(one is not None and WRONG_SHIFT in one.branches for one in ran)

    @property
    def all(self) -> frozenset[int]:
        """All branches that there are."""
        return frozenset(range(WRONG_SHIFT + 1, len(self.lines)))

    def _run(self, launch: Workload, seed: int) -> Taken | None:
        if self._session is None:
            self._session = self._stack.enter_context(self._microscope.open(self._code))
        before = fill_workload(launch, seed)
        arrays = iter(before)
        args = [next(arrays) if isinstance(a, Buffer) else a for a in launch.args]
        marks = np.zeros(len(self.lines), np.uint8)
        bad = self._session.load(launch.grid, launch.block, launch.lds_bytes, [*args, marks])
        done = bad or self._session.launch(self._timeout_s)
        left = done if isinstance(done, Fault) else self._session.read()
        if isinstance(left, Fault):
            self._close()
            return None
        *after, marked = left
        written = tuple(map(_share, before, after))
        return Taken(frozenset(map(int, np.flatnonzero(marked))), written)

    def _close(self) -> None:
        self._session = None
        self._stack.close()


def _share(before: NDArray[Any], after: NDArray[Any]) -> float:
    """Of the elements, those that are another pattern of bits."""
    kind = f"u{before.itemsize}"
    return float((before.view(kind) != after.view(kind)).mean())
