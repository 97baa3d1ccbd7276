"""A piece of HIP source: what it declares, what it uses, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from tree_sitter import Node

from hipopt.source.chunk import Frame
from hipopt.source.tokens import code_words
from hipopt.source.tree import parse_tree

PieceKind: TypeAlias = Literal[
    "include", "macro", "undef", "pragma", "function", "prototype", "type", "variable", "using",
    "instantiation", "macro_use", "other",
]  # fmt: skip

_DEVICE_WORDS = frozenset({"__device__", "__global__", "constexpr", "consteval"})
_CONSTANT_WORDS = frozenset({
    "__device__", "__constant__", "__shared__", "__managed__", "const", "constexpr", "texture",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """One declaration, definition or directive at namespace level."""

    kind: PieceKind
    names: tuple[str, ...]
    """What it declares, without namespaces; of a member defined outside its class, the class."""
    text: str
    start: int
    end: int
    line: int
    """From 1."""
    frames: tuple[Frame, ...]
    head: frozenset[str] = frozenset()
    """Its words outside of all brackets, qualifier macros resolved: `__global__`, `static`."""
    qualifiers: frozenset[str] = frozenset()
    """Macros of its file that stand for qualifiers alone."""
    comment: str = ""
    """The comments right above it, up to its first character."""
    is_specialization: bool = False
    """`template <> ...`."""
    signature: tuple[str, ...] = ()
    """Of an operator: the words of its parameters."""

    @cached_property
    def uses(self) -> frozenset[str]:
        """All words in its code."""
        return frozenset(word.text for word in code_words(self.text))

    @cached_property
    def tree(self) -> Node:
        """Its syntax tree."""
        return parse_tree(self.text, self.qualifiers)

    @property
    def is_kernel(self) -> bool:
        """Whether it is the definition of a `__global__` function."""
        return self.kind == "function" and "__global__" in self.head

    @property
    def on_device(self) -> bool:
        """Whether device code can refer to it."""
        if self.kind in ("function", "prototype"):
            return not _DEVICE_WORDS.isdisjoint(self.head)
        return self.kind != "variable" or not _CONSTANT_WORDS.isdisjoint(self.head)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Names of the enclosing namespaces, those without a name left out."""
        return tuple(name for f in self.frames if f.kind == "namespace" for name in _namespace(f))

    @property
    def qualified_name(self) -> str:
        """`ns::saxpy`."""
        return "::".join((*self.namespaces, self.names[0]))


def _namespace(frame: Frame) -> list[str]:
    """Names that a namespace's header opens: `a`, `b` of `namespace a::b {`."""
    words = [w.text for w in code_words(frame.headers[0])]
    return [w for w in words if w not in ("namespace", "inline")]
