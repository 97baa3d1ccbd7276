"""A source laid open for the rules: its pieces, its tokens, what it declares itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from hipopt.source.declared import declared_names
from hipopt.source.expand import expand
from hipopt.source.parse import parse
from hipopt.source.piece import Piece
from hipopt.source.tokens import Token, code_tokens, directive_name, tokenize

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]+|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{1,3}|[ \t\f\v]*\n|.)")


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
    defined: frozenset[str]
    """The names of its macros and of their parameters; none where macros are expanded."""

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
            defined=declared_names(p for p in file.pieces if p.kind == "macro"),
        )

    def expanded(self) -> Scan:
        """The same with the source's macros expanded, so that every word is what it will be.

        Raises:
            TooLarge: the macros make too much.
        """
        code = [piece for piece in self.pieces if piece.kind != "macro"]
        return replace(
            self,
            tokens=tuple(expand(code_tokens(self.source))),
            directives=(),
            declared=declared_names(code),
            defined=frozenset(),
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
    inner = literal[literal.index('"') + 1 :].removesuffix('"')
    return _ESCAPE.sub(_unescaped, inner)


def _unescaped(escape: re.Match[str]) -> str:
    text = escape.group(1)
    if text[0] in "xuU":
        return chr(int(text[1:], 16) & 0xFF)
    if text[0] in "01234567":
        return chr(int(text, 8) & 0xFF)
    return {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "f": "\f", "v": "\v"}.get(
        text, text.strip()
    )


def enclosed(tokens: tuple[Token, ...], index: int) -> list[Token]:
    """The tokens inside of the bracket at `index`."""
    nest, inside = 0, []
    for token in tokens[index:]:
        nest += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
        if nest <= 0:
            break
        inside.append(token)
    return inside[1:]
