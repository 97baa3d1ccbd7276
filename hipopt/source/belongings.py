"""The rules about what belongs to the device: coordinates, constants, namespaces of libraries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hipopt.source import forbidden
from hipopt.source.scan import Finding, Scan, enclosed
from hipopt.source.tokens import Token

_OPERANDS = frozenset({"word", "number", "string", "char"})
_NOT_AN_OPERAND = frozenset({"return", "case", "throw", "sizeof", "else", "do"})


def coordinates(scan: Scan) -> Iterator[Finding]:
    """Writing to where a thread stands, or taking its address."""
    for index, token in enumerate(scan.tokens):
        if token.text not in forbidden.COORDINATES or token.text in scan.defined:
            continue
        if _is_assigned(scan.tokens, index) or _is_handed_out(scan.tokens, index):
            why = "is changed or handed out here, and where a thread stands is the device's to say"
            yield Finding("coordinate", f"'{token.text}'", token.start, why)


def constants(scan: Scan) -> Iterator[Finding]:
    """Writing to a `__constant__` object, which would outlive the launch."""
    pieces = [p for p in scan.pieces if p.kind == "variable" and "__constant__" in p.text]
    declared = {name: piece for piece in pieces for name in piece.names}
    for index, token in enumerate(scan.tokens):
        piece = declared.get(token.text)
        if piece is None or piece.start <= token.start < piece.start + len(piece.text):
            continue
        if _is_assigned(scan.tokens, index):
            why = "is __constant__ and keeps its value from one launch to the next"
            yield Finding("constant", f"'{token.text}'", token.start, why)


def namespaces(scan: Scan) -> Iterator[Finding]:
    """Additions to the namespaces of HIP and the standard library."""
    for index, token in enumerate(scan.tokens[:-2]):
        name, behind = scan.tokens[index + 1].text, scan.tokens[index + 2].text
        before = scan.tokens[index - 1].text if index else ""
        if token.text != "namespace" or before == "using" or behind not in ("{", "::"):
            continue
        if name in forbidden.NAMESPACES:
            why = "is not the kernel's own: use it, but add nothing to it"
            yield Finding("namespace", f"namespace '{name}'", token.start, why)


def _is_assigned(tokens: Sequence[Token], index: int) -> bool:
    """Whether the object at `index`, or an element or member of it, is assigned to."""
    if _joined(tokens, index - 2) in ("++", "--"):
        return True
    at = index + 1
    while at < len(tokens) and tokens[at].text in (".", "["):
        at += len(enclosed(tuple(tokens), at)) + 2 if tokens[at].text == "[" else 2
    texts = [t.text for t in tokens[at : at + 3]] + ["", "", ""]
    if texts[0] == "=":
        return texts[1] != "="
    if texts[1] == "=" and texts[0] in set("+-*/%&|^"):
        return True
    return _joined(tokens, at) in ("++", "--") or texts[:3] in (["<", "<", "="], [">", ">", "="])


def _is_handed_out(tokens: Sequence[Token], index: int) -> bool:
    """Whether its address is taken, or a reference bound to it that could write."""
    before = tokens[index - 1] if index else None
    if before is not None and before.text in ("=", "(", "{"):
        at = index - 2
        is_bound = at > 0 and tokens[at].kind == "word" and tokens[at - 1].text == "&"
        if is_bound and before.text == "=":
            return "const" not in [t.text for t in tokens[max(0, at - 5) : at]]
        return before.text == "(" and at >= 0 and tokens[at].text == "addressof"
    if before is None or before.text != "&" or index < 2:
        return False
    return not _is_operand(tokens[index - 2]) and tokens[index - 2].text != "&"


def _is_operand(token: Token) -> bool:
    if token.kind in _OPERANDS:
        return token.text not in _NOT_AN_OPERAND
    return token.text in (")", "]")


def _joined(tokens: Sequence[Token], index: int) -> str:
    """The two tokens at `index` as one, where nothing stands between them."""
    if index < 0 or index + 1 >= len(tokens) or tokens[index].end != tokens[index + 1].start:
        return ""
    return tokens[index].text + tokens[index + 1].text
