"""Content for `__constant__` data, and `__device__` data only read, that only host code would set.

A capsule holds no host code, so that such data would be zeros, and much that a kernel computes with
them would be nothing. Here they get ordinary numbers instead, by their names and places alone: the
reference's and a candidate's declaration of the same name hold the same.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence

from tree_sitter import Node

from hipopt.records import DType
from hipopt.source.folding import Names, fold_number
from hipopt.source.launches import definitions_of, functions_of
from hipopt.source.parameters import dtype_of, resolve, type_aliases
from hipopt.source.parse import parse
from hipopt.source.piece import Piece
from hipopt.source.readonly import is_only_read
from hipopt.source.tree import declarator_name, first, span

MAX_NUMBERS = 1 << 14
"""All that fits into 64 KiB of constant memory as 4-byte numbers."""
_VECTOR = re.compile(r"(u?(?:char|short|int|long|longlong)|float|double)([234])")
_DATA = re.compile(r"__constant__|__device__[^(){}]*;")
_COUNTED = re.compile(r"radius|halo|order|degree|taps|steps|iter", re.IGNORECASE)
_EXTENT = 16
_COUNT = 3


def with_constants(source: str) -> str:
    """The source with a value for all `__constant__` data that it leaves without one.

    So do `__device__` data that it never changes. Line numbers stay. Data of types that can't be
    told are left as they are.
    """
    if _DATA.search(source) is None:
        return source
    pieces = parse(source).pieces
    known = _Known(pieces)
    for piece in reversed(pieces):
        if piece.kind == "variable" and _is_host_data(piece, pieces):
            text = known.with_value(piece)
            if source[piece.start : piece.end] == piece.text:
                source = source[: piece.start] + text + source[piece.end :]
    return source


def _is_host_data(piece: Piece, pieces: Sequence[Piece]) -> bool:
    if "__constant__" in piece.head:
        return True
    lasting = "__device__" in piece.head and "__shared__" not in piece.head
    return lasting and is_only_read(piece, pieces)


class _Known:
    """What the source's types and names stand for."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._aliases = type_aliases(pieces)
        self._names = Names({}, definitions_of(pieces), functions_of(pieces))
        self._structs: Mapping[str, Piece] = {
            name: p for p in pieces if p.kind == "type" for name in p.names
        }

    def with_value(self, piece: Piece) -> str:
        """The declaration with a value behind every name that has none."""
        text = piece.text
        declaration = first(piece.tree, "declaration")
        kind = declaration.child_by_field_name("type") if declaration else None
        if declaration is None or kind is None or "extern" in piece.head:
            return text
        for node in reversed(declaration.children_by_field_name("declarator")):
            name = declarator_name(node)
            seed = zlib.crc32(span(text, name).encode()) if name is not None else 0
            value = self._declared(node, text, span(text, kind), seed, 0)
            if value is not None:
                text = f"{text[: node.end_byte]} = {value}{text[node.end_byte :]}"
        return text

    def _declared(
        self, node: Node, text: str, kind: str, seed: int, depth: int
    ) -> str | None:  # fmt: skip
        """A value for what one declarator of that type declares; None where it has one."""
        name = declarator_name(node)
        if name is None or node.type not in ("identifier", "field_identifier", "array_declarator"):
            return None
        sizes: list[int] = []
        while node.type == "array_declarator":
            size, inner = (node.child_by_field_name(f) for f in ("size", "declarator"))
            folded = fold_number(span(text, size), self._names) if size is not None else None
            if folded is None or inner is None or folded < 1:
                return None
            sizes.insert(0, int(folded))
            node = inner
        values = _Values(span(text, name), seed, alone=not sizes)
        return self._nested(kind, sizes, values, depth)

    def _nested(self, kind: str, sizes: list[int], values: _Values, depth: int) -> str | None:
        if not sizes:
            return self._single(kind, values, depth)
        inner = []
        for _ in range(sizes[0]):
            value = self._nested(kind, sizes[1:], values, depth)
            if value is None or values.drawn > MAX_NUMBERS:
                return None
            inner.append(value)
        return f"{{{', '.join(inner)}}}"

    def _single(self, kind: str, values: _Values, depth: int) -> str | None:
        resolved = resolve(kind, self._aliases)
        dtype = dtype_of(resolved)
        if dtype is not None:
            return values.next(dtype)
        name = re.sub(r"\b(?:const|struct|volatile)\b", "", resolved).replace(" ", "")
        vector = _VECTOR.fullmatch(name)
        if vector is not None:
            dtype = dtype_of(re.sub("^u", "unsigned ", vector[1]).replace("longlong", "long long"))
            lanes = [values.next(dtype or "float32") for _ in range(int(vector[2]))]
            return None if None in lanes else f"{{{', '.join(str(v) for v in lanes)}}}"
        return self._struct(name, values.seed(), depth)

    def _struct(self, name: str, seed: int, depth: int) -> str | None:
        """Of a struct that only holds data."""
        piece = self._structs.get(name)
        body = first(piece.tree, "field_declaration_list") if piece is not None else None
        if piece is None or body is None or depth > 3 or "union" in piece.uses:
            return None
        inner: list[str] = []
        for field in body.named_children:
            if field.type == "comment":
                continue
            kind = field.child_by_field_name("type")
            declared = field.children_by_field_name("declarator")
            if field.type != "field_declaration" or kind is None or not declared:
                return None
            for node in declared:
                member = span(piece.text, kind)
                value = self._declared(node, piece.text, member, seed + len(inner), depth + 1)
                if value is None:
                    return None
                inner.append(value)
        return f"{{{', '.join(inner)}}}"


class _Values:
    """Numbers from one seed, the same for every source."""

    def __init__(self, name: str, seed: int, *, alone: bool) -> None:
        self._numbers = _numbers(seed)
        self._count = _COUNT if _COUNTED.search(name) else _EXTENT
        self._alone = alone
        self.drawn = 0

    def seed(self) -> int:
        """One for the members of a struct."""
        self.drawn += 1
        return next(self._numbers)

    def next(self, dtype: DType) -> str | None:
        """A literal; None where the type takes none."""
        self.drawn += 1
        number = next(self._numbers)
        if dtype in ("float32", "float64"):
            return f"{0.125 + number % 1777 / 2048:.6f}" + "f" * (dtype == "float32")
        if dtype == "bool":
            return "true" if self._alone or number % 2 else "false"
        if "int" in dtype:
            return str(self._count if self._alone else number % _EXTENT)
        return None


def _numbers(seed: int) -> Iterator[int]:
    """Numbers without an order, always the same for a seed."""
    state = seed or 1
    while True:
        state = (state * 1103515245 + 12345) % (1 << 31)
        yield state >> 8
