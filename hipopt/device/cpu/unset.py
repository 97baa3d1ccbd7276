"""Local variables without an initialiser, given another value than the compiler gives them.

A kernel that reads one before it sets it leaves something else than its plain build does.
"""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node

from hipopt.source.tree import parse_tree, span, walk

_TYPES = frozenset({"primitive_type", "sized_type_specifier", "type_identifier"})


def with_unset_marked(source: str) -> str:
    """The source with `float m = hipopt::unset<float>();` for `float m;` in functions.

    Lines stay. Arrays, pointers, and what has a storage class or a qualifier are left as they are.
    """
    parts, done = [], 0
    for at, value in sorted(_initialisers(source)):
        parts += [source[done:at], value]
        done = at
    return "".join((*parts, source[done:]))


def _initialisers(source: str) -> Iterator[tuple[int, str]]:
    for node in walk(parse_tree(source)):
        if node.type == "compound_statement":
            for inner in node.named_children:
                if inner.type == "declaration" and _is_bare(source, inner):
                    kind, *names = inner.named_children
                    value = f" = ::hipopt::unset<{span(source, kind)}>()"
                    yield from ((name.end_byte, value) for name in names)


def _is_bare(source: str, declaration: Node) -> bool:
    """Whether it is a plain type with plain names, and nothing that is hidden from the tree."""
    kind, *names = declaration.named_children
    before = declaration.prev_sibling
    hidden = source[before.end_byte : declaration.start_byte] if before is not None else ""
    is_plain = kind.type in _TYPES and all(name.type == "identifier" for name in names)
    return is_plain and bool(names) and not hidden.strip() and span(source, kind) != "auto"
