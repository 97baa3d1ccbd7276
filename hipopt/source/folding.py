"""C expressions folded to numbers, where what they name is known."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from tree_sitter import Node

from hipopt.source.parameters import dtype_of
from hipopt.source.tree import parse_tree, span

Number: TypeAlias = int | float
Value: TypeAlias = "Number | tuple[Number, Number, Number]"


class Function(NamedTuple):
    """A function that is one `return`."""

    parameters: tuple[str, ...]
    result: str


_MAX_DEPTH = 24
_SIZES = {"float64": 8, "int64": 8, "uint64": 8, "float32": 4, "int32": 4, "uint32": 4,
          "float16": 2, "bfloat16": 2, "int16": 2, "uint16": 2}  # fmt: skip
_FUNCTIONS: Mapping[str, Callable[..., Number]] = {
    "min": min, "max": max, "ceil": math.ceil, "ceilf": math.ceil, "floor": math.floor,
    "floorf": math.floor, "sqrt": math.sqrt, "sqrtf": math.sqrt, "log2": math.log2, "abs": abs,
    "pow": pow, "fmin": min, "fmax": max, "round": round,
}  # fmt: skip
_CASTS = frozenset({
    "int", "unsigned", "size_t", "long", "float", "double", "uint", "int64_t", "uint32_t",
    "int32_t", "uint64_t", "static_cast",
})  # fmt: skip


class Names(NamedTuple):
    """What names stand for."""

    numbers: Mapping[str, Value]
    """Known values; they come before definitions."""
    texts: Mapping[str, str]
    """Definitions as written."""
    functions: Mapping[str, Function] = {}


def fold(text: str, names: Names) -> Value | None:
    """The expression's value; a `dim3` is three numbers; None where it can't be told."""
    try:
        return _Folder(names).text(text)
    except (ArithmeticError, ValueError, TypeError, RecursionError):
        return None


def fold_number(text: str, names: Names) -> Number | None:
    """The expression's value where it is a single number."""
    value = fold(text, names)
    return None if isinstance(value, tuple) else value


class _Folder:
    def __init__(self, names: Names, depth: int = 0) -> None:
        self._names = names
        self._depth = depth

    def text(self, text: str) -> Value | None:
        if self._depth > _MAX_DEPTH:
            return None
        source = f"auto v = {text.strip().rstrip(';')};"
        root = parse_tree(source)
        declared = next((n for n in root.named_children if n.type == "declaration"), None)
        init = declared.child_by_field_name("declarator") if declared else None
        value = init.child_by_field_name("value") if init else None
        return None if value is None or root.has_error else self._node(value, source)

    def _node(self, node: Node, text: str) -> Value | None:
        kind = node.type
        if kind == "number_literal":
            return _literal(span(text, node))
        if kind in ("true", "false"):
            return int(kind == "true")
        if kind in ("identifier", "qualified_identifier"):
            return self._name(span(text, node).split("::")[-1])
        if kind == "field_expression":
            return self._field(node, text)
        if kind in ("parenthesized_expression", "condition_clause"):
            return self._node(node.named_children[0], text)
        if kind == "cast_expression":
            return self._cast(node, text)
        if kind == "call_expression":
            return self._call(node, text)
        if kind == "sizeof_expression":
            return _size_of(span(text, node))
        if kind in ("initializer_list", "compound_literal_expression"):
            return self._braces(node, text)
        return self._operator(node, text)

    def _name(self, name: str) -> Value | None:
        if name in self._names.numbers:
            return self._names.numbers[name]
        definition = self._names.texts.get(name)
        if definition is None:
            return self._members(name)
        return _Folder(self._names, self._depth + 1).text(definition)

    def _members(self, name: str) -> Value | None:
        """A `dim3` that is known by its members."""
        known = [self._names.texts.get(f"{name}.{axis}") for axis in "xyz"]
        if known[0] is None:
            return None
        values = [1 if k is None else _Folder(self._names, self._depth + 1).text(k) for k in known]
        return _triple(values)

    def _field(self, node: Node, text: str) -> Value | None:
        whole = span(text, node).replace(" ", "")
        if whole in self._names.numbers or whole in self._names.texts:
            return self._name(whole)
        inner, field = node.child_by_field_name("argument"), whole.rpartition(".")[2]
        value = self._node(inner, text) if inner is not None else None
        at = {"x": 0, "y": 1, "z": 2}.get(field)
        return value[at] if isinstance(value, tuple) and at is not None else None

    def _cast(self, node: Node, text: str) -> Value | None:
        inner, kind = node.child_by_field_name("value"), node.child_by_field_name("type")
        value = self._node(inner, text) if inner is not None else None
        return _as_type(value, span(text, kind) if kind else "")

    def _call(self, node: Node, text: str) -> Value | None:
        called, arguments = (node.child_by_field_name(f) for f in ("function", "arguments"))
        if called is None or arguments is None:
            return None
        values = [self._node(n, text) for n in arguments.named_children if n.type != "comment"]
        name = span(text, called)
        plain = re.sub(r"<.*", "", name).split("::")[-1].strip()
        if any(v is None for v in values):
            return None
        if plain == "dim3":
            return _triple(values)
        if plain in _CASTS and len(values) == 1:
            return _as_type(values[0], name)
        if plain in self._names.functions:
            return self._apply(self._names.functions[plain], values)
        return _FUNCTIONS[plain](*values) if plain in _FUNCTIONS else None

    def _apply(self, function: Function, values: list[Value | None]) -> Value | None:
        known = {k: v for k, v in zip(function.parameters, values, strict=False) if v is not None}
        names = self._names._replace(numbers={**self._names.numbers, **known})
        return _Folder(names, self._depth + 1).text(function.result)

    def _braces(self, node: Node, text: str) -> Value | None:
        listed = node if node.type == "initializer_list" else node.child_by_field_name("value")
        inner = [self._node(n, text) for n in listed.named_children] if listed else []
        return inner[0] if len(inner) == 1 else _triple(inner)

    def _operator(self, node: Node, text: str) -> Value | None:
        if node.type == "conditional_expression":
            parts = [
                node.child_by_field_name(f) for f in ("condition", "consequence", "alternative")
            ]
            test = self._node(parts[0], text) if parts[0] else None
            chosen = parts[1 if test else 2]
            return None if test is None or chosen is None else self._node(chosen, text)
        operator = node.child_by_field_name("operator")
        sides = [node.child_by_field_name(f) for f in ("left", "right", "argument")]
        values = [self._node(n, text) for n in sides if n is not None]
        if operator is None or any(v is None or isinstance(v, tuple) for v in values):
            return None
        numbers = [v for v in values if isinstance(v, int | float)]
        return _computed(span(text, operator), numbers)


def _computed(operator: str, values: list[Number]) -> Number | None:
    if len(values) == 1:
        unary: Mapping[str, Callable[[Number], Number]] = {
            "-": lambda a: -a, "+": lambda a: a, "!": lambda a: int(not a), "~": lambda a: ~int(a),
        }  # fmt: skip
        return unary[operator](values[0]) if operator in unary else None
    left, right = values
    binary: Mapping[str, Callable[[], Number]] = {
        "+": lambda: left + right, "-": lambda: left - right, "*": lambda: left * right,
        "/": lambda: _divided(left, right), "%": lambda: int(math.fmod(left, right)),
        "<<": lambda: int(left) << min(int(right), 62), ">>": lambda: int(left) >> int(right),
        "&": lambda: int(left) & int(right), "|": lambda: int(left) | int(right),
        "<": lambda: int(left < right), ">": lambda: int(left > right),
        "<=": lambda: int(left <= right), ">=": lambda: int(left >= right),
        "==": lambda: int(left == right), "!=": lambda: int(left != right),
        "&&": lambda: int(bool(left and right)), "||": lambda: int(bool(left or right)),
    }  # fmt: skip
    return binary[operator]() if operator in binary else None


def _divided(left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int):
        return int(left / right) if (left < 0) != (right < 0) else left // right
    return left / right


def _literal(text: str) -> Number | None:
    plain = text.replace("'", "")
    if plain.startswith("-"):
        value = _literal(plain[1:])
        return None if value is None else -value
    if re.match(r"0[xX]", plain):
        return int(plain.rstrip("uUlL"), 16)
    if re.fullmatch(r"\d+[uUlLzZ]*", plain):
        digits = plain.rstrip("uUlLzZ")
        return int(digits, 8 if re.fullmatch(r"0[0-7]+", digits) else 10)
    return float(plain.rstrip("fFlL"))


def _as_type(value: Value | None, kind: str) -> Value | None:
    if isinstance(value, float) and not re.search(r"float|double", kind):
        return int(value)
    if isinstance(value, int) and re.search(r"float|double", kind):
        return float(value)
    return value


def _triple(values: list[Value | None]) -> tuple[Number, Number, Number] | None:
    numbers = [v for v in values if isinstance(v, int | float)]
    if len(numbers) != len(values) or len(numbers) > 3:
        return values[0] if len(values) == 1 and isinstance(values[0], tuple) else None
    x, y, z = (*numbers, 1, 1, 1)[:3]
    return x, y, z


def _size_of(text: str) -> int | None:
    kind = text.removeprefix("sizeof").strip().strip("()").strip()
    if "*" in kind:
        return 8
    dtype = dtype_of(kind)
    return None if dtype is None else _SIZES.get(dtype, 1)
