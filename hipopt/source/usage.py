"""What a kernel does with its indices and its integer scalars, as its text shows.

An estimate, for proposing launches: it follows values through variables without regard to order or
scope, and through the kernel's own macros and helpers. A launch that it leads to is tried before
it is believed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property

from tree_sitter import Node

from hipopt.source.atoms import BUILTIN, OLD_BUILTIN, Atoms, index_atoms, indices_of, old_atom
from hipopt.source.capsule import Capsule
from hipopt.source.flags import flags
from hipopt.source.macros import Macro
from hipopt.source.parse import SourceFile, macros_of, parse
from hipopt.source.piece import Piece
from hipopt.source.tokens import first_branch_text
from hipopt.source.tree import declarator_name, first, parse_tree, span, walk
from hipopt.source.unfold import unfold

_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_TRUE_BY = {"==": 0, "<=": 0, ">=": 0, "<": -1, ">": 1, "!=": 1}
"""What makes a comparison with a number true, from that number."""


@dataclass
class Usage:
    """What becomes of the kernel's indices and parameters."""

    indices: set[str] = field(default_factory=set)
    """`tx`, `by`, ... that the kernel or its helpers read."""
    bounds: dict[str, set[Atoms]] = field(default_factory=lambda: defaultdict(set))
    """Scalar: the index atoms of what it is compared with; loops over an index count here."""
    alone: dict[str, bool] = field(default_factory=dict)
    """Scalar: whether some comparison has it as the only scalar on its side."""
    trips: set[str] = field(default_factory=set)
    """Scalars that bound a loop whose variable starts without an index."""
    strides: dict[str, set[Atoms]] = field(default_factory=lambda: defaultdict(set))
    """Scalar: the index atoms of what it multiplies."""
    divisors: set[str] = field(default_factory=set)
    shifts: set[str] = field(default_factory=set)
    """Scalars that a value is shifted by, or that are raised in powers of two."""
    added: set[str] = field(default_factory=set)
    """Scalars added to or taken from an index."""
    cases: dict[str, dict[int, None]] = field(default_factory=lambda: defaultdict(dict))
    """Scalar: numbers by which a comparison with a literal comes out true, in the text's order."""
    subscripts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Pointer: pointers whose content indexes it."""
    trip_pointers: set[str] = field(default_factory=set)
    """Pointers whose content bounds a loop."""
    compared: set[str] = field(default_factory=set)
    """Pointers whose content is compared with an index."""
    offsets: set[str] = field(default_factory=set)
    """Those of which one element and the next are taken, as the ends of a row."""
    flags: set[str] = field(default_factory=set)
    """Pointers to flags."""
    lds_shapes: list[tuple[str, ...]] = field(default_factory=list)
    """Bounds of static shared arrays, as written."""
    lds_types: list[str] = field(default_factory=list)
    """Element types of dynamic LDS."""
    launch_bounds: str | None = None
    loops_by_grid: bool = False
    """Whether a loop steps by the whole grid."""


class Body:
    """A capsule, read for its kernel's usage of indices and scalars."""

    def __init__(self, capsule: Capsule) -> None:
        self.capsule = capsule
        self.file: SourceFile = parse(capsule.source)
        self.macros: dict[str, Macro] = macros_of(self.file.pieces)

    @cached_property
    def kernel(self) -> Piece:
        """The kernel's piece."""
        plain = self.capsule.kernel.rpartition("::")[2]
        own = [p for p in self.file.kernels if p.names and p.names[0] == plain]
        same = [p for p in own if p.text == self.capsule.kernel_text]
        return (same or own)[0]

    @cached_property
    def text(self) -> str:
        """The kernel's text, macros expanded, one branch of every #if."""
        return unfold(first_branch_text(self.kernel.text), self.macros)

    @cached_property
    def helpers(self) -> dict[str, Atoms]:
        """Device functions and the index atoms that their text reads, theirs by calls included."""
        texts = {
            p.names[0]: unfold(first_branch_text(p.text), self.macros)
            for p in self.file.pieces
            if p.kind == "function" and p.names and p is not self.kernel
        }
        atoms = {name: frozenset(index_atoms(text)) for name, text in texts.items()}
        for _ in range(3):
            for name, text in texts.items():
                called = set(re.findall(r"\w+", text)) & set(atoms)
                atoms[name] = atoms[name].union(*(atoms[c] for c in called))
        return atoms

    @cached_property
    def usage(self) -> Usage:
        """What the kernel does with its indices and scalars."""
        return _Reader(self).read()


class _Reader:
    def __init__(self, body: Body) -> None:
        self.body = body
        self.text = body.text
        self.root = parse_tree(self.text, body.kernel.qualifiers)
        self.pointers = {p.name for p in body.capsule.parameters if p.is_pointer}
        self.scalars = {p.name for p in body.capsule.parameters if not p.is_pointer}
        self.values: dict[str, set[str]] = defaultdict(set)
        self.usage = Usage()

    def read(self) -> Usage:
        usage = self.usage
        reached = set(index_atoms(self.text))
        for name in set(re.findall(r"\w+", self.text)) & set(self.body.helpers):
            reached |= self.body.helpers[name]
        usage.indices = reached
        for _ in range(4):
            self._spread()
        for node in walk(self.root):
            self._note(node)
        usage.flags = flags(self.root, self.text, self.atoms) & self.pointers
        usage.offsets = {p for p in usage.trip_pointers if _takes_neighbours(self.text, p)}
        self._shared()
        return usage

    # -- where values come from ----------------------------------------------------------------

    def _spread(self) -> None:
        for node in walk(self.root):
            if node.type == "init_declarator":
                declarator, value = (node.child_by_field_name(f) for f in ("declarator", "value"))
                name = declarator_name(declarator) if declarator else None
                if name is not None and value is not None:
                    self._flows(span(self.text, name), value)
            elif node.type == "assignment_expression":
                left, right = (node.child_by_field_name(f) for f in ("left", "right"))
                if left is not None and right is not None:
                    if left.type == "identifier":
                        self._flows(span(self.text, left), right)
                    elif left.type in ("field_expression", "subscript_expression"):
                        inner = first(left, "identifier")
                        if inner is not None and span(self.text, inner) not in self.pointers:
                            self._flows(span(self.text, inner), right)

    def _flows(self, name: str, value: Node) -> None:
        if name not in self.pointers and name not in self.scalars:
            self.values[name] |= self.atoms(value)

    def atoms(self, node: Node) -> Atoms:
        """Where the expression's value comes from."""
        kind = node.type
        if kind == "identifier":
            return self._of_name(span(self.text, node))
        if kind == "field_expression":
            return self._of_field(node)
        if kind == "subscript_expression":
            return self._of_subscript(node)
        if kind == "pointer_expression":
            return self._of_pointed(node)
        if kind == "call_expression":
            return self._of_call(node)
        if kind == "conditional_expression":
            parts = [node.child_by_field_name(f) for f in ("consequence", "alternative")]
            return frozenset().union(*(self.atoms(p) for p in parts if p is not None))
        return frozenset().union(*(self.atoms(c) for c in node.named_children))

    def _of_name(self, name: str) -> Atoms:
        match = OLD_BUILTIN.fullmatch(name)
        if match:
            return frozenset({old_atom(match)})
        if name in self.scalars:
            return frozenset({name})
        if name in self.pointers:
            return frozenset({f"&{name}"})
        return frozenset(self.values.get(name, ()))

    def _of_field(self, node: Node) -> Atoms:
        whole = re.sub(r"\s", "", span(self.text, node))
        base, _, member = whole.rpartition(".")
        if base in BUILTIN and member in ("x", "y", "z"):
            return frozenset({BUILTIN[base] + member})
        inner = node.child_by_field_name("argument")
        return self.atoms(inner) if inner is not None else frozenset()

    def _of_subscript(self, node: Node) -> Atoms:
        inner = node.child_by_field_name("argument")
        base = self.atoms(inner) if inner is not None else frozenset()
        pointed = frozenset(f"*{a[1:]}" for a in base if a.startswith("&"))
        return pointed or base

    def _of_pointed(self, node: Node) -> Atoms:
        inner = node.child_by_field_name("argument")
        base = self.atoms(inner) if inner is not None else frozenset()
        if not span(self.text, node).startswith("*"):
            return base
        return frozenset(f"*{a[1:]}" for a in base if a.startswith("&")) or base

    def _of_call(self, node: Node) -> Atoms:
        called, arguments = (node.child_by_field_name(f) for f in ("function", "arguments"))
        name = span(self.text, called) if called is not None else ""
        own = set(self.body.helpers.get(name.split("<")[0].split("::")[-1], ()))
        own |= set(index_atoms(f"{name}("))
        given = self.atoms(arguments) if arguments is not None else frozenset()
        loaded = {f"*{a[1:]}" for a in given if a.startswith("&")}
        if "ldg" in name or "load" in name.lower() or "atomic" in name:
            return frozenset(loaded)
        return frozenset(own) | given

    # -- what becomes of them ------------------------------------------------------------------

    def _note(self, node: Node) -> None:
        if node.type == "binary_expression":
            self._binary(node)
        elif node.type == "for_statement":
            self._loop(node)
        elif node.type in ("while_statement", "do_statement"):
            self._repeats(node)
        elif node.type == "subscript_expression":
            self._subscript(node)
        elif node.type == "assignment_expression":
            self._compound(node)

    def _binary(self, node: Node) -> None:
        left, right = (node.child_by_field_name(f) for f in ("left", "right"))
        operator = node.child_by_field_name("operator")
        if left is None or right is None or operator is None:
            return
        a, b, sign = self.atoms(left), self.atoms(right), span(self.text, operator)
        if sign in _COMPARISONS:
            self._compared(a, b)
            self._compared(b, a)
            self._case(left, sign, right)
            self._case(right, _MIRRORED.get(sign, sign), left)
        elif sign == "*":
            for scalar in b & self.scalars:
                self.usage.strides[scalar].add(indices_of(a))
            for scalar in a & self.scalars:
                self.usage.strides[scalar].add(indices_of(b))
        elif sign in ("/", "%"):
            self.usage.divisors |= b & self.scalars
        elif sign in ("<<", ">>"):
            self.usage.shifts |= b & self.scalars
        elif sign in ("+", "-"):
            for one, other in ((a, b), (b, a)):
                self._reached(one, other)
                if len(one) == 1 and indices_of(other):
                    self.usage.added |= one & self.scalars

    def _reached(self, base: Atoms, steps: Atoms) -> None:
        """A pointer that is moved by what other pointers' content says."""
        loads = {a[1:] for a in steps if a.startswith("*")}
        for atom in base:
            if loads and atom.startswith("&"):
                self.usage.subscripts[atom[1:]] |= loads

    def _case(self, side: Node, sign: str, other: Node) -> None:
        """A scalar of that side, alone, compared with a whole number."""
        name, literal = span(self.text, side), span(self.text, other).rstrip("uUlL")
        if name in self.scalars and literal.isdigit() and sign in _TRUE_BY:
            self.usage.cases[name][max(0, int(literal) + _TRUE_BY[sign])] = None

    def _compound(self, node: Node) -> None:
        left, operator, right = (node.child_by_field_name(f) for f in ("left", "operator", "right"))
        if left is not None and operator is not None and right is not None:
            sign, atoms = span(self.text, operator), self.atoms(right)
            if sign in ("+=", "-=") and left.type == "identifier":
                self._reached(self.atoms(left), atoms)
            elif sign in ("/=", "%="):
                self.usage.divisors |= atoms & self.scalars
            elif sign in ("<<=", ">>="):
                self.usage.shifts |= atoms & self.scalars

    def _compared(self, side: Atoms, other: Atoms) -> None:
        """Scalars and loaded values of `side` compared with the value of `other`."""
        if indices_of(other) and not any(a.startswith("*") for a in other):
            self.usage.compared |= {a[1:] for a in side if a.startswith("*")}
        scalars = side & self.scalars
        if indices_of(other) and not (other & self.scalars) - scalars:
            for scalar in scalars:
                self.usage.bounds[scalar].add(indices_of(other))
                lone = len(scalars) == 1
                self.usage.alone[scalar] = self.usage.alone.get(scalar, False) or lone

    def _loop(self, node: Node) -> None:
        start, test, step = (
            node.child_by_field_name(f) for f in ("initializer", "condition", "update")
        )
        if step is not None:
            stepped = self.atoms(step)
            self.usage.loops_by_grid |= any(a[0] == "g" and len(a) == 2 for a in stepped)
        if test is None:
            return
        atoms = self.atoms(test)
        self.usage.trip_pointers |= {a[1:] for a in atoms if a.startswith("*")}
        initial = self.atoms(start) if start is not None else frozenset()
        if not indices_of(initial):
            self.usage.trips |= atoms & self.scalars

    def _repeats(self, node: Node) -> None:
        test = node.child_by_field_name("condition")
        atoms = self.atoms(test) if test is not None else frozenset()
        self.usage.trip_pointers |= {a[1:] for a in atoms if a.startswith("*")}
        if not indices_of(atoms):
            self.usage.trips |= atoms & self.scalars

    def _subscript(self, node: Node) -> None:
        inner = node.child_by_field_name("argument")
        indices = node.child_by_field_name("indices")
        if inner is None or indices is None:
            return
        for base in self.atoms(inner):
            if base.startswith("&"):
                loads = {a[1:] for a in self.atoms(indices) if a.startswith("*")}
                self.usage.subscripts[base[1:]] |= loads

    # -- LDS and attributes --------------------------------------------------------------------

    def _shared(self) -> None:
        for declared in re.finditer(
            r"(extern\s+)?__shared__\s+([^;=(){}]*?)((?:\[[^\]]*\]\s*)+);", self.text
        ):
            shape = tuple(s.strip() for s in re.findall(r"\[([^\]]*)\]", declared[3]))
            if declared[1] or shape == ("",):
                self.usage.lds_types.append(re.sub(r"__align__\([^)]*\)", "", declared[2]))
            else:
                self.usage.lds_shapes.append(shape)
        dynamic = re.search(r"HIP_DYNAMIC_SHARED\s*\(\s*([^,]+),", self.text)
        if dynamic:
            self.usage.lds_types.append(dynamic[1])
        elif not self.usage.lds_types and re.search(
            r"extern\s+__shared__", self.body.capsule.source
        ):
            self.usage.lds_types.append("float")
        bounds = re.search(r"__launch_bounds__\s*\(([^,()]+(?:\([^()]*\))?)", self.text)
        self.usage.launch_bounds = bounds[1].strip() if bounds else None


def _takes_neighbours(text: str, pointer: str) -> bool:
    """Whether it has `p[i]` and `p[i + 1]`."""
    found = re.findall(rf"\b{pointer}\s*\[([^][]*(?:\[[^][]*\][^][]*)*)\]", text)
    places = {re.sub(r"\s", "", place) for place in found}
    return any(f"{p}+1" in places or f"1+{p}" in places or f"({p})+1" in places for p in places)
