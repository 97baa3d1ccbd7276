"""State that outlives a launch, and objects whose initialisation runs outside of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tree_sitter import Node

from hipopt.source.piece import Piece
from hipopt.source.tokens import code_tokens
from hipopt.source.tree import declarator_name, span, walk

_OUTLIVES = "keeps its value from one launch to the next, so a later launch could reuse a result"
_RUNS_EARLY = "is initialised by code that runs outside of a launch"
_DECLARATIONS = frozenset({"declaration", "field_declaration"})
_CALLS = frozenset({"call_expression", "lambda_expression", "new_expression"})
_CONSTANT = frozenset({"constexpr", "constinit", "__constant__", "__shared__"})


class State(NamedTuple):
    """One object that is there before or after a launch."""

    subject: str
    offset: int
    """In its piece's text."""
    why: str


def lasting_state(piece: Piece, pieces: Sequence[Piece]) -> Iterator[State]:
    """The objects in `piece` that keep state between launches or are initialised by a call."""
    if piece.kind == "variable":
        yield from _global(piece, pieces)
    if piece.kind in ("function", "type"):
        for node in walk(piece.tree):
            if node.type in _DECLARATIONS:
                yield from _static(piece, node)


def _global(piece: Piece, pieces: Sequence[Piece]) -> Iterator[State]:
    words = set(_words_before_value(piece.text))
    name = f"'{piece.names[0]}'" if piece.names else "a global variable"
    if _is_mutable(piece.text) and "__shared__" not in words:
        yield State(name, 0, _OUTLIVES)
    elif words.isdisjoint({"constexpr", "constinit", "__shared__"}) and (
        _is_called(piece.tree) or _has_constructor(words, pieces)
    ):
        yield State(name, 0, _RUNS_EARLY)


def _static(piece: Piece, node: Node) -> Iterator[State]:
    """A `static` or `thread_local` object inside of a function or class."""
    text = span(piece.text, node)
    words = _words_before_value(text)
    if "mutable" in words:
        yield State(f"'{_named(piece, node)}'", node.start_byte, _OUTLIVES)
        return
    if "thread_local" not in words and "static" not in words:
        return
    declarator = node.child_by_field_name("declarator")
    if declarator is not None and declarator.type == "function_declarator":
        return
    name = f"'{_named(piece, node)}'"
    if "thread_local" in words or _is_mutable(text):
        yield State(name, node.start_byte, _OUTLIVES)
    elif "constexpr" not in words and _is_called(node):
        yield State(name, node.start_byte, _RUNS_EARLY)


def _named(piece: Piece, node: Node) -> str:
    """What the declaration names."""
    declarator = node.child_by_field_name("declarator")
    found = declarator_name(declarator) if declarator is not None else None
    return span(piece.text, found) if found is not None else "a static variable"


def _words_before_value(text: str) -> list[str]:
    """The words of a declaration before its `=` or its `{`."""
    words = []
    for token in code_tokens(text):
        if token.text in ("=", "{"):
            break
        words.append(token.text)
    return words


def _is_mutable(text: str) -> bool:
    """Whether what the declaration names can be assigned to; of a pointer, the pointer itself."""
    words = _words_before_value(text)
    if not _CONSTANT.isdisjoint(words):
        return False
    if "*" in words:
        words = words[len(words) - words[::-1].index("*") :]
    return "const" not in words


def _is_called(node: Node) -> bool:
    return any(n.type in _CALLS for n in walk(node))


def _has_constructor(words: set[str], pieces: Sequence[Piece]) -> bool:
    """Whether the type is one of the source's own that has a constructor which isn't constexpr."""
    return any(
        _declares_constructor(p, name)
        for p in pieces
        if p.kind == "type"
        for name in words.intersection(p.names)
    )


def _declares_constructor(piece: Piece, name: str) -> bool:
    texts = [t.text for t in code_tokens(piece.text)]
    return any(
        texts[i : i + 2] == [name, "("] and "constexpr" not in texts[max(0, i - 5) : i]
        for i in range(len(texts))
    )
