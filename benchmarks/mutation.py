"""Mutants of a kernel: one small edit each, of the kinds that people and models make by mistake."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Literal, get_args

from tree_sitter import Node

from benchmarks.lexemes import Body
from hipopt.records import Record
from hipopt.source.tokens import line_of

Kind = Literal[
    "off_by_one", "swapped_operator", "negated_condition", "changed_constant", "wrong_index",
    "narrowed_type", "loop_bound", "dropped_barrier", "dropped_atomic", "dropped_initialisation",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)


class Mutant(Record, frozen=True, kw_only=True):
    """One edit of a kernel's text."""

    kind: Kind
    start: int
    end: int
    """Offsets of what is replaced; equal where something is put in."""
    replacement: str

    def applied(self, text: str) -> str:
        """The text with the edit made."""
        return text[: self.start] + self.replacement + text[self.end :]

    def describe(self, text: str) -> dict[str, str | int]:
        """The edit for a table: the line, as it was and as it is."""
        first = text.rfind("\n", 0, self.start) + 1
        last = text.find("\n", self.end)
        last = len(text) if last < 0 else last
        return {
            "kind": self.kind,
            "line": line_of(text, self.start),
            "was": " ".join(text[first:last].split()),
            "is": " ".join(
                (text[first : self.start] + self.replacement + text[self.end : last]).split()
            ),
            "key": hashlib.sha256(f"{self.applied(text)}".encode()).hexdigest()[:16],
        }


def mutants(text: str) -> list[Mutant]:
    """All mutants of the kernel whose definition is `text`; its parameters stay."""
    body = Body(text)
    found = {
        mutant.applied(text): mutant for maker in _MAKERS for mutant in maker(body)
    }  # fmt: skip
    return list(found.values())


# -- by lexemes -------------------------------------------------------------------------------

_SWAPPED = {
    "+": "-", "-": "+", "*": "/", "/": "*", "%": "/", "<<": ">>", ">>": "<<", "&&": "||",
    "||": "&&", "&": "|", "|": "&", "^": "|", "+=": "-=", "-=": "+=", "*=": "/=", "/=": "*=",
    "<<=": ">>=", ">>=": "<<=", "&=": "|=", "|=": "&=", "^=": "|=", "++": "--", "--": "++",
}  # fmt: skip
_SWAPPED_WORDS = {
    "min": "max", "fmin": "fmax", "fminf": "fmaxf", "atomicMin": "atomicMax",
    "__shfl_down": "__shfl_up", "__shfl_down_sync": "__shfl_up_sync", "__hmin": "__hmax",
    "__hadd": "__hsub", "sinf": "cosf", "atomicAdd": "atomicSub", "atomicOr": "atomicAnd",
}  # fmt: skip
_SWAPPED_WORDS |= {value: key for key, value in _SWAPPED_WORDS.items()}
_ALMOST = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_BARRIERS = frozenset({"__syncthreads", "__syncwarp", "__builtin_amdgcn_s_barrier"})
_PLAIN = {
    "atomicAdd": "was + by", "atomicSub": "was - by", "atomicExch": "by", "atomicAnd": "was & by",
    "atomicOr": "was | by", "atomicXor": "was ^ by", "atomicMax": "was < by ? by : was",
    "atomicMin": "by < was ? by : was", "unsafeAtomicAdd": "was + by",
    "atomicAdd_block": "was + by",
}  # fmt: skip
_COORDINATES = frozenset({"threadIdx", "blockIdx", "blockDim", "gridDim"})
_WRONG_WORDS = {
    "threadIdx": "blockIdx", "blockIdx": "threadIdx", "blockDim": "gridDim", "gridDim": "blockDim",
}  # fmt: skip
_PAIRS = (
    ("row", "col"), ("r", "c"), ("i", "j"), ("x", "y"), ("tx", "ty"), ("bx", "by"), ("ix", "iy"),
    ("width", "height"), ("rows", "cols"), ("m", "n"), ("tid", "bid"), ("lane", "wave"),
)  # fmt: skip
_TWINS = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
_NARROWED = {
    "double": "float", "float": "_Float16", "int": "short", "unsigned": "unsigned short",
    "size_t": "unsigned short", "int64_t": "int32_t", "uint64_t": "uint32_t", "int32_t": "int16_t",
    "uint32_t": "uint16_t", "uint": "unsigned short", "long": "short", "int16_t": "int8_t",
    "uint16_t": "uint8_t",
}  # fmt: skip
_INTEGER_WORDS = frozenset({"unsigned", "signed", "char", "short", "long", "int"})


def _each(body: Body, kind: Kind, alter: Callable[[Body, int], str | None]) -> Iterator[Mutant]:
    """A mutant for each lexeme for which `alter` has another text."""
    for index, token in enumerate(body.lexemes):
        other = alter(body, index)
        if other is not None:
            yield Mutant(kind=kind, start=token.start, end=token.end, replacement=other)


def _swapped(body: Body, index: int) -> str | None:
    token = body.lexemes[index]
    if token.kind == "word" and body.text_at(index + 1) == "(":
        return _SWAPPED_WORDS.get(token.text)
    is_step = token.text in ("++", "--")
    return _SWAPPED.get(token.text) if is_step or body.is_operand(index - 1) else None


def _almost(body: Body, index: int) -> str | None:
    return _ALMOST.get(body.text_at(index)) if body.is_operand(index - 1) else None


def _negated(body: Body, index: int) -> str | None:
    return _NEGATED.get(body.text_at(index)) if body.is_operand(index - 1) else None


def _other_constant(body: Body, index: int) -> str | None:
    token = body.lexemes[index]
    if token.kind != "number":
        return None
    digits = token.text.rstrip("fFuUlL" if not token.text.startswith("0x") else "uUlL")
    suffix = token.text[len(digits) :]
    try:
        integer = int(digits.replace("'", ""), 0)
    except ValueError:
        return _other_float(digits, suffix)
    is_size = body.text_at(index - 1) == "[" and body.is_declared_array(index - 1)
    return f"{integer - 1 if is_size and integer > 1 else integer + 1}{suffix}"


def _other_float(digits: str, suffix: str) -> str | None:
    """A percent more; one in place of zero."""
    try:
        value = float(digits)
    except ValueError:
        return None
    other = repr(value * 1.01) if value else "1.0"
    return f"{other}{suffix}"


def _wrong_axis(body: Body, index: int) -> str | None:
    token = body.lexemes[index]
    if body.text_at(index - 1) == "." and body.text_at(index - 2) in _COORDINATES:
        return {"x": "y", "y": "x", "z": "x"}.get(token.text)
    return _WRONG_WORDS.get(token.text)


def _wrong_variable(body: Body, index: int) -> str | None:
    """Another index of the kernel: `col` for `row`."""
    if body.text_at(index - 1) in (".", "->", *_NARROWED) or body.lexemes[index].kind != "word":
        return None
    twin = _TWINS.get(body.text_at(index))
    return twin if twin in body.words else None


def _narrowed(body: Body, index: int) -> str | None:
    text, before, behind = (body.text_at(index + k) for k in (0, -1, 1))
    if behind in ("*", "&") or before in _INTEGER_WORDS:
        return None
    if behind in _INTEGER_WORDS and (text, behind) != ("unsigned", "int"):
        return None
    return _NARROWED.get(text)


def _halved(body: Body) -> Iterator[Mutant]:
    """`int` for `long long`."""
    for token, behind in pairwise(body.lexemes):
        if token.text == behind.text == "long":
            yield Mutant(kind="narrowed_type", start=token.start, end=behind.end, replacement="int")


def _plain_update(body: Body, index: int) -> str | None:
    result = _PLAIN.get(body.text_at(index))
    if result is None or body.text_at(index + 1) != "(":
        return None
    return f"([](auto* at, auto by) {{ auto was = *at; *at = {result}; return was; }})"


def _further(body: Body) -> Iterator[Mutant]:
    """Indices one too far."""
    for index, token in enumerate(body.lexemes):
        if token.text == "]":
            opening = body.opening(index)
            if body.is_operand(opening - 1) and not body.is_declared_array(opening):
                yield Mutant(
                    kind="off_by_one", start=token.start, end=token.start, replacement=" + 1"
                )


def _without_barrier(body: Body) -> Iterator[Mutant]:
    for index, token in enumerate(body.lexemes):
        if token.text in _BARRIERS and body.text_at(index + 1) == "(":
            closing = body.closing(index + 1)
            if closing is not None:
                end = body.lexemes[closing].end
                yield Mutant(
                    kind="dropped_barrier", start=token.start, end=end, replacement="(void)0"
                )


# -- by syntax --------------------------------------------------------------------------------

_LITERALS = frozenset({"number_literal", "char_literal", "true", "false", "null"})


def _other_bound(body: Body) -> Iterator[Mutant]:
    for node in body.nodes:
        if node.type == "for_statement":
            condition = node.child_by_field_name("condition")
            right = condition.child_by_field_name("right") if condition is not None else None
            if right is not None:
                for replacement in (" - 1", " + 1"):
                    end = right.end_byte
                    yield Mutant(kind="loop_bound", start=end, end=end, replacement=replacement)


def _without_start(body: Body) -> Iterator[Mutant]:
    """`float sum;` for `float sum = 0.0f;`, and `s[i] = 0;` left out."""
    for node in body.nodes:
        declarator = node.child_by_field_name("declarator")
        if node.type == "init_declarator" and declarator is not None:
            if _is_plain(node.child_by_field_name("value")) and not _is_const(body, node.parent):
                yield _dropped(declarator.end_byte, node.end_byte, "")
        elif node.type == "expression_statement" and _sets_literal(node):
            yield _dropped(node.start_byte, node.end_byte, ";")


def _dropped(start: int, end: int, replacement: str) -> Mutant:
    return Mutant(kind="dropped_initialisation", start=start, end=end, replacement=replacement)


def _is_plain(value: Node | None) -> bool:
    """Whether it is a literal, or one with a sign, or a named constant in capitals."""
    if value is None:
        return False
    if value.type == "unary_expression":
        return _is_plain(value.child_by_field_name("argument"))
    is_named = value.type == "identifier" and (value.text or b"").decode().isupper()
    return value.type in _LITERALS or is_named


def _is_const(body: Body, declaration: Node | None) -> bool:
    if declaration is None:
        return True
    text = body.text[declaration.start_byte : declaration.end_byte]
    return "const" in text.split("=")[0]


def _sets_literal(statement: Node) -> bool:
    assignment = statement.named_children[0] if statement.named_children else None
    if assignment is None or assignment.type != "assignment_expression":
        return False
    operator = assignment.child_by_field_name("operator")
    is_set = operator is not None and operator.text == b"="
    return is_set and _is_plain(assignment.child_by_field_name("right"))


_MAKERS: tuple[Callable[[Body], Iterator[Mutant]], ...] = (
    lambda body: _each(body, "negated_condition", _negated),
    lambda body: _each(body, "off_by_one", _almost),
    _further,
    lambda body: _each(body, "swapped_operator", _swapped),
    lambda body: _each(body, "changed_constant", _other_constant),
    lambda body: _each(body, "wrong_index", _wrong_axis),
    lambda body: _each(body, "wrong_index", _wrong_variable),
    lambda body: _each(body, "narrowed_type", _narrowed),
    _halved,
    _other_bound,
    _without_barrier,
    lambda body: _each(body, "dropped_atomic", _plain_update),
    _without_start,
)
