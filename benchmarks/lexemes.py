"""Kernel text as lexemes: tokens whose operators are whole, and what a mutation needs of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from tree_sitter import Node

from hipopt.source.merge import body_start
from hipopt.source.tokens import Token, code_tokens
from hipopt.source.tree import parse_tree, walk

_OPERATORS = (
    "<<=", ">>=", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "++", "--",
    "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=",
)  # fmt: skip

TYPE_WORDS = frozenset({
    "float", "double", "int", "unsigned", "signed", "char", "short", "long", "bool", "auto", "half",
    "__half", "size_t", "const", "void", "int8_t", "uint8_t", "int16_t", "uint16_t", "int32_t",
    "uint32_t", "int64_t", "uint64_t", "float2", "float4", "uint", "typename", "return", "case",
    "static_cast", "reinterpret_cast", "const_cast", "template",
})  # fmt: skip
"""Words that are no operands, so that no binary operator follows them."""


def lexemes(text: str) -> list[Token]:
    """The tokens that the compiler sees, `<`, `<` and `=` joined to `<<=`."""
    return list(_joined(code_tokens(text)))


def _joined(tokens: Sequence[Token]) -> Iterator[Token]:
    at = 0
    while at < len(tokens):
        operator = next((o for o in _OPERATORS if _begins(tokens, at, o)), tokens[at].text)
        is_joined = len(operator) > 1 and tokens[at].kind == "punctuation"
        yield tokens[at]._replace(text=operator) if is_joined else tokens[at]
        at += len(operator) if is_joined and len(tokens[at].text) == 1 else 1


def _begins(tokens: Sequence[Token], at: int, operator: str) -> bool:
    here = tokens[at : at + len(operator)]
    if len(here) < len(operator) or here[-1].end - here[0].start != len(operator):
        return False
    return all(t.kind == "punctuation" and t.text == c for t, c in zip(here, operator, strict=True))


class Body:
    """The body of a function, as lexemes and as a tree; offsets are those of the whole text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.start = body_start(text)
        self.lexemes = [token for token in lexemes(text) if token.start >= self.start]

    @cached_property
    def nodes(self) -> list[Node]:
        """All nodes of the body's syntax tree, in the order of the text."""
        return [node for node in walk(parse_tree(self.text)) if node.start_byte >= self.start]

    @cached_property
    def words(self) -> frozenset[str]:
        """Identifiers and keywords of the body and of the parameters."""
        return frozenset(t.text for t in lexemes(self.text) if t.kind == "word")

    def text_at(self, index: int) -> str:
        """The lexeme's text; empty outside of the body."""
        return self.lexemes[index].text if 0 <= index < len(self.lexemes) else ""

    def is_operand(self, index: int) -> bool:
        """Whether the lexeme at `index` ends an operand, so that a binary operator may follow."""
        text = self.text_at(index)
        if text in (")", "]"):
            return True
        known = 0 <= index < len(self.lexemes) and text not in TYPE_WORDS
        return known and self.lexemes[index].kind in ("word", "number")

    def is_declared_array(self, opening: int) -> bool:
        """Whether the `[` at `opening` gives the size of an array that is declared there."""
        at = opening
        while self.text_at(at - 1) == "]":
            at = self.opening(at - 1)
        before = self.text_at(at - 2)
        return before.isidentifier() and before not in ("return", "case", "else")

    def opening(self, closing: int) -> int:
        """Index of the bracket that the one at `closing` closes; 0 where none does."""
        nest = 0
        for at in range(closing, -1, -1):
            nest += (self.text_at(at) in (")", "]", "}")) - (self.text_at(at) in ("(", "[", "{"))
            if nest == 0:
                return at
        return 0

    def closing(self, opening: int) -> int | None:
        """Index of the bracket that closes the one at `opening`."""
        nest = 0
        for at in range(opening, len(self.lexemes)):
            nest += (self.text_at(at) in ("(", "[", "{")) - (self.text_at(at) in (")", "]", "}"))
            if nest == 0:
                return at
        return None
