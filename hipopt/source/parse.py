"""HIP source as pieces, and which of them are kernels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hipopt.errors import SourceError
from hipopt.source.cut import cut
from hipopt.source.describe import describe
from hipopt.source.macros import Macro, expand_use, parse_macro
from hipopt.source.piece import Piece
from hipopt.source.tokens import clean, directive_argument, directive_name, tokenize


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file, cut and described."""

    text: str
    pieces: tuple[Piece, ...]
    made_by_macro: Mapping[str, str]
    """Kernels that exist only after preprocessing, and the macro that makes each."""

    @property
    def kernels(self) -> tuple[Piece, ...]:
        """Definitions of `__global__` functions, in order, specialisations left out."""
        return tuple(p for p in self.pieces if p.is_kernel and not p.is_specialization)


def parse(
    source: str, origin: str = "", known_macros: Mapping[str, Macro] | None = None
) -> SourceFile:
    """The pieces of `source`, whose line ends become Unix ones.

    `origin` tells the frames of two files apart that are laid out together. `known_macros` are
    those that hold in `source` without being defined there.

    Raises:
        SourceError: brackets or conditions don't match; names the line.
    """
    text = clean(source)
    chunks = cut(text, origin)
    macros = {**(known_macros or {}), **_macros(text[c.start : c.end] for c in chunks)}
    leads = _leads(text)
    pieces = [describe(text, chunk, macros, leads) for chunk in chunks]
    made_by_macro: dict[str, str] = {}
    for index, piece in enumerate(pieces):
        if piece.kind == "macro_use":
            pieces[index], made = _with_expansion(piece, macros)
            made_by_macro.update(dict.fromkeys(made, piece.names[0]))
    return SourceFile(text=text, pieces=_without_guard(tuple(pieces)), made_by_macro=made_by_macro)


def macros_of(pieces: Iterable[Piece]) -> dict[str, Macro]:
    """The macros that the pieces define, by name."""
    return _macros(p.text for p in pieces if p.kind == "macro")


def _macros(texts: Iterable[str]) -> dict[str, Macro]:
    """Of a macro that several branches define, the definition that says most."""
    found = [macro for macro in map(parse_macro, texts) if macro is not None]
    return {macro.name: macro for macro in sorted(found, key=lambda m: len(m.body))}


def _leads(text: str) -> dict[int, int]:
    """Where the comments begin that stand right above what starts at an offset."""
    leads: dict[int, int] = {}
    start: int | None = None
    own_line = True
    for token in tokenize(text):
        if token.kind == "comment":
            start = token.start if start is None and own_line else start
        elif token.kind == "space":
            own_line = own_line or "\n" in token.text
            start = None if token.text.count("\n") > 1 else start
            continue
        elif start is not None:
            leads[token.start] = start
            start = None
        own_line = False
    return leads


def _with_expansion(piece: Piece, macros: Mapping[str, Macro]) -> tuple[Piece, list[str]]:
    """The use of a macro with the names that it declares, and the kernels that it makes."""
    macro = macros.get(piece.names[0])
    expanded = expand_use(macro, piece.text) if macro else None
    if expanded is None:
        return piece, []
    try:
        inner = [describe(expanded, chunk, macros, {}) for chunk in cut(expanded)]
    except SourceError:
        return piece, []
    names = tuple(name for p in inner for name in p.names)
    kernels = [p.names[0] for p in inner if p.is_kernel]
    return replace(piece, names=(*piece.names, *names)), kernels


def _without_guard(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """The pieces freed from an include guard, where one encloses them all."""
    if not pieces or not pieces[0].frames or pieces[0].kind != "macro":
        return pieces
    frame = pieces[0].frames[0]
    guard = directive_argument(frame.headers[0])
    if directive_name(frame.headers[0]) != "ifndef" or guard not in pieces[0].names:
        return pieces
    if any(p.frames[:1] != (frame,) for p in pieces):
        return pieces
    return tuple(replace(p, frames=p.frames[1:]) for p in pieces[1:])
