"""A chunk of a file described: what kind of piece it is and which names it declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

from tree_sitter import Node

from hipopt.source.chunk import Chunk
from hipopt.source.macros import Macro, parse_macro, qualifier_words
from hipopt.source.piece import Piece, PieceKind
from hipopt.source.tokens import (
    Token,
    closing_angle,
    directive_argument,
    directive_name,
    first_branches,
    line_of,
)
from hipopt.source.tree import ATTRIBUTES, QUALIFIERS, declarator_name, parse_tree, span, walk

_DIRECTIVES: Mapping[str, PieceKind] = {
    "include": "include", "define": "macro", "undef": "undef", "pragma": "pragma",
}  # fmt: skip
_TYPE_WORDS = frozenset({"struct", "class", "union", "enum"})
_NO_DECLARATOR = ATTRIBUTES | {"decltype", "noexcept", "explicit", "requires", "throw"}


def describe(
    text: str, chunk: Chunk, macros: Mapping[str, Macro], leads: Mapping[int, int]
) -> Piece:
    """The piece that the chunk of `text` is."""
    body = text[chunk.start : chunk.end]
    if len(chunk.tokens) == 1 and chunk.tokens[0].kind == "directive":
        kind, names = _directive(body)
        return _piece(text, chunk, kind, names, leads)
    return _Declaration(text, chunk, macros).piece(leads)


def _piece(
    text: str, chunk: Chunk, kind: PieceKind, names: tuple[str, ...], leads: Mapping[int, int]
) -> Piece:
    return Piece(
        kind=kind,
        names=names,
        text=text[chunk.start : chunk.end],
        start=chunk.start,
        end=chunk.end,
        line=line_of(text, chunk.start),
        frames=chunk.frames,
        comment=text[leads.get(chunk.start, chunk.start) : chunk.start],
    )


def _directive(text: str) -> tuple[PieceKind, tuple[str, ...]]:
    name = directive_name(text)
    argument = directive_argument(text)
    if name == "define":
        macro = parse_macro(text)
        return ("macro", (macro.name,)) if macro else ("other", ())
    return _DIRECTIVES.get(name, "other"), (argument,) if argument else ()


class _Declaration:
    """What the tokens outside of all brackets say about a chunk."""

    def __init__(self, text: str, chunk: Chunk, macros: Mapping[str, Macro]) -> None:
        self.text = text
        self.chunk = chunk
        self.tokens = tuple(first_branches(chunk.tokens))
        words = {t.text for t in self.tokens if t.kind == "word"}
        resolved = {w: qualifier_words(w, macros) for w in words}
        self.qualifiers = {w: q for w, q in resolved.items() if q is not None}
        self.begin = _behind_template_headers(self.tokens)
        self.surface = list(self._surface())

    def _surface(self) -> Iterator[int]:
        """Indexes of the tokens outside of brackets, opening brackets included."""
        nest = 0
        for index in range(self.begin, len(self.tokens)):
            text = self.tokens[index].text
            if text in (")", "]", "}"):
                nest -= 1
            elif nest == 0:
                yield index
            if text in ("(", "[", "{"):
                nest += 1

    def piece(self, leads: Mapping[int, int]) -> Piece:
        kind, names = self._kind_and_names()
        plain = _piece(self.text, self.chunk, kind, names, leads)
        return replace(
            plain,
            head=self._head(),
            qualifiers=frozenset(self.qualifiers),
            is_specialization=self._is_specialization(),
            signature=self._signature() if "".join(names).startswith("operator") else (),
        )

    def _head(self) -> frozenset[str]:
        head: set[str] = set()
        for index in self.surface:
            token = self.tokens[index]
            if token.text in ("{", "="):
                break
            head |= self.qualifiers.get(token.text, {token.text} if token.kind == "word" else set())
        return frozenset(head)

    def _is_specialization(self) -> bool:
        return [t.text for t in self.tokens[:3]] == ["template", "<", ">"]

    def _kind_and_names(self) -> tuple[PieceKind, tuple[str, ...]]:
        texts = [self.tokens[i].text for i in self.surface[:3]]
        opening = texts[0] if texts else ""
        if opening == "using":
            return self._using(texts)
        if opening == "namespace":
            return "type", (texts[1],) if len(texts) > 1 else ()
        if opening == "template" or texts[:2] == ["extern", "template"]:
            return "instantiation", self._function_names()
        if opening in ("static_assert", "_Static_assert", "asm", "__asm__"):
            return "other", ()
        if self._is_macro_use():
            return "macro_use", (opening,)
        return self._declaration()

    def _using(self, texts: list[str]) -> tuple[PieceKind, tuple[str, ...]]:
        words = [t.text for t in self.tokens[self.begin :] if t.kind == "word"]
        if len(texts) > 2 and texts[2] == "=":
            return "type", (words[1],)
        return "using", (words[-1],) if len(words) > 1 else ()

    def _is_macro_use(self) -> bool:
        texts = [self.tokens[i].text for i in self.surface]
        return self.begin == 0 and texts[1:] in (["("], ["(", ";"])

    def _declaration(self) -> tuple[PieceKind, tuple[str, ...]]:
        texts = [self.tokens[i].text for i in self.surface]
        parameters = self._parameters()
        before_body = texts[: texts.index("{")] if "{" in texts else texts
        if texts[:1] == ["typedef"] or (
            not _TYPE_WORDS.isdisjoint(before_body)
            and "=" not in before_body
            and parameters is None
        ):
            return "type", self._type_names()
        if parameters is None or self._has_value(texts):
            return "variable", self._declared_names()
        if "{" in texts:
            return "function", self._function_names()
        root = parse_tree(self._code(), self.qualifiers)
        if any(n.type == "function_declarator" for n in walk(root)):
            return "prototype", self._function_names()
        return "variable", self._declared_names()

    def _has_value(self, texts: list[str]) -> bool:
        """Whether a `=` at the surface initialises something."""
        return any(
            text == "=" and "operator" not in texts[max(0, i - 2) : i]
            for i, text in enumerate(texts[: texts.index("{")] if "{" in texts else texts)
        ) and not self._is_defaulted(texts)

    def _is_defaulted(self, texts: list[str]) -> bool:
        return texts[-3:-1] in (["=", "default"], ["=", "delete"])

    def _parameters(self) -> int | None:
        """Index of the `(` that opens the parameter list; None where there is none."""
        found = None
        for position, index in enumerate(self.surface):
            text = self.tokens[index].text
            if text in ("{", ":", "=", ";") and self._before(position) != "operator":
                break
            if text == "(" and not self._is_attribute(position):
                found = index
        return found

    def _before(self, position: int) -> str:
        return self.tokens[self.surface[position - 1]].text if position else ""

    def _is_attribute(self, position: int) -> bool:
        if position == 0:
            return True
        name = self._before(position)
        return name in _NO_DECLARATOR or name in self.qualifiers

    def _function_names(self) -> tuple[str, ...]:
        """The function's name; of a member defined outside its class, the class's."""
        index = self._parameters()
        if index is None or index == 0:
            return ()
        at = index - 1
        for distance in range(4):
            if self.tokens[max(0, at - distance)].text == "operator":
                return (self._operator_name(max(0, at - distance), index),)
        at = _before_template_arguments(self.tokens, at)
        name = at
        while at >= 2 and self.tokens[at - 1].text == "::":
            at = _before_template_arguments(self.tokens, at - 2)
            if self.tokens[at].kind != "word":
                break
            name = at
        return (self.tokens[name].text,)

    def _operator_name(self, operator: int, parameters: int) -> str:
        """`operator+`; of a member defined outside its class, the class's name."""
        if operator >= 2 and self.tokens[operator - 1].text == "::":
            return self.tokens[_before_template_arguments(self.tokens, operator - 2)].text
        return "".join(t.text for t in self.tokens[operator:parameters])

    def _signature(self) -> tuple[str, ...]:
        """The words of an operator's parameter types."""
        index = self._parameters() or 0
        words = []
        for token, after in pairwise(self.tokens[index:]):
            if token.text == ")":
                break
            if token.kind == "word" and after.text not in (",", ")", "=", "["):
                words.append(token.text)
        return tuple(words)

    def _code(self) -> str:
        return self.text[self.chunk.start : self.chunk.end]

    def _type_names(self) -> tuple[str, ...]:
        names = list(self._declared_names())
        for position, index in enumerate(self.surface):
            if self.tokens[index].text in _TYPE_WORDS:
                names += self._tag(position)
                break
        if not {"typedef", "enum"}.isdisjoint(t.text for t in self.tokens):
            names += _enumerators(parse_tree(self._code(), self.qualifiers), self._code())
        return tuple(dict.fromkeys(names))

    def _tag(self, position: int) -> list[str]:
        """The name behind `struct`, attributes skipped."""
        for index in self.surface[position + 1 :]:
            token = self.tokens[index]
            if token.text in ("{", ";", ":", "<"):
                break
            if token.kind == "word" and not self._skips(token):
                return [token.text]
        return []

    def _skips(self, token: Token) -> bool:
        known = token.text in ATTRIBUTES or token.text in QUALIFIERS
        return known or token.text in self.qualifiers or token.text in _TYPE_WORDS

    def _declared_names(self) -> tuple[str, ...]:
        """Names of all declarators; of a static member defined outside its class, the class's."""
        code = self._code()
        root = parse_tree(code, self.qualifiers)
        names = []
        for node in walk(root):
            if node.type in ("declaration", "type_definition") and _at_top(node):
                for declarator in node.children_by_field_name("declarator"):
                    name = declarator_name(declarator)
                    if name is not None:
                        names.append(span(code, name).split("::")[0].split("<")[0].strip())
        return tuple(names)


def _at_top(node: Node) -> bool:
    parent = node.parent
    while parent is not None and parent.type in (
        "template_declaration", "linkage_specification", "ERROR", "declaration_list",
        "preproc_if", "preproc_ifdef", "preproc_else", "preproc_elif",
    ):  # fmt: skip
        parent = parent.parent
    return parent is None or parent.type == "translation_unit"


def _enumerators(root: Node, code: str) -> list[str]:
    nodes = (n.child_by_field_name("name") for n in walk(root) if n.type == "enumerator")
    return [span(code, n) for n in nodes if n is not None]


def _behind_template_headers(tokens: tuple[Token, ...]) -> int:
    """Index of the first token behind `template <...>`, however many there are."""
    index = 0
    while [t.text for t in tokens[index : index + 2]] == ["template", "<"]:
        end = closing_angle(tokens, index + 1)
        index = len(tokens) if end is None else end + 1
    return index


def _before_template_arguments(tokens: tuple[Token, ...], index: int) -> int:
    """Index of `k` where `index` is at the `>` of `k<float>`; else `index`."""
    if tokens[index].text != ">":
        return index
    angles = 0
    while index > 0:
        angles += (tokens[index].text == ">") - (tokens[index].text == "<")
        if angles == 0:
            return index - 1
        index -= 1
    return index
