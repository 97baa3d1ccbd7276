"""A source laid open for the rules: its pieces, its tokens, what it declares itself."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from hipopt.source.declared import declared_names
from hipopt.source.parse import parse
from hipopt.source.piece import Piece
from hipopt.source.tokens import Token, code_tokens, directive_name, tokenize


class Finding(NamedTuple):
    """One thing that a capsule holds and a candidate may not."""

    rule: str
    subject: str
    """What it is about; a finding of the reference excuses the same one in a candidate."""
    offset: int
    why: str


@dataclass(frozen=True)
class Scan:
    """A source with what several rules need of it."""

    source: str
    pieces: tuple[Piece, ...]
    tokens: tuple[Token, ...]
    """Of code and of preprocessor lines alike, these cut into their own tokens."""
    directives: tuple[Token, ...]
    declared: frozenset[str]
    """All names that the source declares itself."""

    @classmethod
    def of(cls, source: str) -> Scan:
        """The source, parsed."""
        file = parse(source)
        top = code_tokens(file.text)
        return cls(
            source=file.text,
            pieces=file.pieces,
            tokens=tuple(inner for token in top for inner in _inner(token)),
            directives=tuple(t for t in top if t.kind == "directive"),
            declared=declared_names(file.pieces),
        )


def _inner(token: Token) -> Iterator[Token]:
    if token.kind != "directive":
        yield token
        return
    start = token.text.index("#") + 1
    if directive_name(token.text) == "include":
        return
    for inner in tokenize(token.text[start:]):
        if inner.is_code:
            yield Token(inner.kind, inner.text, token.start + start + inner.start)


def string_of(tokens: Iterable[Token]) -> str:
    """What the strings among the tokens hold, joined as the compiler joins them."""
    return "".join(_value(t.text) for t in tokens if t.kind == "string")


def _value(literal: str) -> str:
    """What a string literal holds; its escapes resolved as far as they can be."""
    raw = re.fullmatch(r'\w*R"([^()\\\s]*)\((.*)\)\1"', literal, re.DOTALL)
    if raw is not None:
        return raw.group(2)
    inner = literal[literal.index('"') + 1 :].removesuffix('"').replace("\\\n", "")
    try:
        return codecs.decode(inner.encode("latin-1", "replace"), "unicode_escape")
    except UnicodeDecodeError:
        return inner


def enclosed(tokens: tuple[Token, ...], index: int) -> list[Token]:
    """The tokens inside of the bracket at `index`."""
    nest, inside = 0, []
    for token in tokens[index:]:
        nest += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
        if nest <= 0:
            break
        inside.append(token)
    return inside[1:]
