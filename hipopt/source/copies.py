"""Whether a kernel only copies, as its text shows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from hipopt.source.tree import parse_tree, span, walk
from hipopt.source.usage import Body

_OTHER_WRITES = frozenset({
    "call_expression", "update_expression", "pointer_expression", "lambda_expression",
    "pointer_declarator", "reference_declarator", "asm_statement", "gnu_asm_expression",
})  # fmt: skip


def only_copies(body: Body) -> bool:
    """Whether all that the kernel leaves are elements of one buffer at their places in another.

    Each store has to read `q[i] = p[i]`, with the same words for the place on both sides, and there
    has to be no other way to write. What is copied to another place, or passes through a variable,
    is none of it.
    """
    text = body.text
    pointers = {p.name for p in body.capsule.parameters if p.is_pointer}
    stores = 0
    root = parse_tree(text, body.kernel.qualifiers)
    if root.has_error or "__shared__" in text:
        return False
    block = next((n for n in walk(root) if n.type == "compound_statement"), root)
    for node in walk(block):
        if node.type == "update_expression" and _is_counter(node):
            continue
        if node.type in _OTHER_WRITES:
            return False
        if node.type == "assignment_expression" and not _is_local(node, text, pointers):
            if not _is_copy(node, text, pointers):
                return False
            stores += 1
    return stores > 0


def _is_counter(node: Node) -> bool:
    argument = node.child_by_field_name("argument")
    return argument is not None and argument.type == "identifier"


def _is_local(node: Node, text: str, pointers: set[str]) -> bool:
    left = node.child_by_field_name("left")
    return left is not None and left.type == "identifier" and span(text, left) not in pointers


def _is_copy(node: Node, text: str, pointers: set[str]) -> bool:
    operator = node.child_by_field_name("operator")
    sides = [node.child_by_field_name(f) for f in ("left", "right")]
    if operator is None or span(text, operator) != "=" or "++" in span(text, node):
        return False
    found = [tuple(_element(side, text)) if side is not None else () for side in sides]
    if any(len(parts) != 2 for parts in found):
        return False
    (to, there), (source, here) = found
    return there == here and to != source and {to, source} <= pointers


def _element(node: Node, text: str) -> Iterator[str]:
    """The buffer and the place of `p[i]`; nothing of another expression."""
    inner, indices = (node.child_by_field_name(f) for f in ("argument", "indices"))
    if node.type != "subscript_expression" or inner is None or indices is None:
        return
    if inner.type == "identifier" and re.search(r"=|--", span(text, indices)) is None:
        yield span(text, inner)
        yield "".join(span(text, indices).split())
