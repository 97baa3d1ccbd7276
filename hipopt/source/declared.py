"""Every name that a source declares, at whatever depth: locals, parameters, members, macros."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tree_sitter import Node

from hipopt.source.macros import parse_macro
from hipopt.source.piece import Piece
from hipopt.source.tree import declarator_name, span, walk

_DECLARING = frozenset({
    "declaration", "field_declaration", "parameter_declaration", "optional_parameter_declaration",
    "for_range_loop", "init_declarator", "type_definition", "function_definition",
})  # fmt: skip
_NAMING = frozenset({"struct_specifier", "class_specifier", "enum_specifier", "enumerator"})


def declared_names(pieces: Iterable[Piece]) -> frozenset[str]:
    """The names that the pieces declare, inside and out."""
    return frozenset(name for piece in pieces for name in _declared(piece))


def _declared(piece: Piece) -> Iterator[str]:
    if piece.kind == "macro":
        macro = parse_macro(piece.text)
        yield from piece.names
        yield from (macro.parameters or ()) if macro else ()
    elif piece.kind not in ("include", "undef", "pragma", "using", "prototype"):
        yield from piece.names
        for node in walk(piece.tree):
            yield from (_plain(span(piece.text, n)) for n in _names(node))


def _names(node: Node) -> Iterator[Node]:
    if node.type in _DECLARING:
        for declarator in node.children_by_field_name("declarator"):
            name = declarator_name(declarator)
            if name is not None and not _is_prototype(node, declarator):
                yield name
    elif node.type in _NAMING:
        name = node.child_by_field_name("name")
        if name is not None:
            yield name


def _is_prototype(node: Node, declarator: Node) -> bool:
    """A function that is only announced is not the source's own."""
    return node.type in ("declaration", "field_declaration") and (
        declarator.type == "function_declarator"
    )


def _plain(name: str) -> str:
    return name.split("::")[-1].split("<")[0].strip()
