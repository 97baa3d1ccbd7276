"""Which global data a source only reads, as its text shows."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hipopt.source.piece import Piece
from hipopt.source.tokens import Token, code_tokens
from hipopt.source.tree import declarator_name, first, span, walk

_OPENING = {"(": ")", "[": "]"}
_OPERATORS = frozenset("+-*/%&|^<>")


def is_only_read(piece: Piece, pieces: Sequence[Piece]) -> bool:
    """Whether no other piece assigns to what the variable's declaration names.

    Nor passes its address on, as an array without all of its indices is. Another variable of the
    same name counts as this one, so that the answer errs towards no.
    """
    dimensions = _dimensions(piece)
    return bool(dimensions) and not any(
        _is_touched(code_tokens(other.text), name, depth)
        for other in pieces
        if other is not piece and other.kind not in ("include", "undef")
        for name, depth in dimensions.items()
        if name in other.uses
    )


def _dimensions(piece: Piece) -> dict[str, int]:
    """How many indices each declared name takes to one element."""
    declaration = first(piece.tree, "declaration")
    found = {}
    for node in declaration.children_by_field_name("declarator") if declaration else ():
        name = declarator_name(node)
        if name is not None:
            depth = sum(n.type == "array_declarator" for n in walk(node))
            found[span(piece.text, name)] = depth
    return found


def _is_touched(tokens: Sequence[Token], name: str, depth: int) -> bool:
    texts = [token.text for token in tokens]
    return any(
        _is_reached(texts, at) or _is_changed(texts, at + 1, depth)
        for at, text in enumerate(texts)
        if text == name
    )


def _is_reached(texts: Sequence[str], at: int) -> bool:
    """Whether its address is taken, or it is counted up or down, by what stands before it."""
    before = texts[max(0, at - 3) : at]
    if before[-2:] in (["+", "+"], ["-", "-"]) or before == ["&"] * 3:
        return True
    if before[-1:] != ["&"] or before[-2:] == ["&", "&"]:
        return False
    left = before[-2] if len(before) > 1 else ""
    return left == "return" or not (left in (")", "]") or re.match(r"\w", left))


def _is_changed(texts: Sequence[str], at: int, depth: int) -> bool:
    """Whether what follows its indices and members assigns to it, or indices are missing."""
    indices = 0
    while at < len(texts) and texts[at] in ("[", "."):
        if texts[at] == "[":
            indices += 1
            at = _behind(texts, at)
        else:
            at += 2
    if indices < depth:
        return True
    after = [*texts[at : at + 3], "", "", ""]
    if after[0] == "=":
        return after[1] != "="
    if after[0] in _OPERATORS and after[1] == "=":
        return after[0] not in "<>"
    shifts = after[0] == after[1] and after[0] in "<>" and after[2] == "="
    return shifts or after[:2] in (["+", "+"], ["-", "-"])


def _behind(texts: Sequence[str], at: int) -> int:
    """Index behind the bracket that closes the one at `at`."""
    nest = 0
    for index in range(at, len(texts)):
        nest += (texts[index] in _OPENING) - (texts[index] in _OPENING.values())
        if nest == 0:
            return index + 1
    return len(texts)
