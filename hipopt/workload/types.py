"""What each argument of a kernel is made of, once its template arguments are known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from hipopt.records import DType
from hipopt.source.capsule import KernelParameter
from hipopt.source.parameters import dtype_of, resolve, type_aliases
from hipopt.source.piece import Piece
from hipopt.source.tokens import code_tokens


class ArgumentType(NamedTuple):
    """Elements of one dtype: a value, or what a pointer points to."""

    is_pointer: bool
    dtype: DType
    width: int
    """Elements of `dtype` in one element of the kernel's own: 4 of a `float4`, 1 of a `float`.

    0: a function object without content, which takes one byte.
    """


_VECTORS: Mapping[str, DType] = {
    "char": "int8", "uchar": "uint8", "short": "int16", "ushort": "uint16", "int": "int32",
    "uint": "uint32", "long": "int64", "ulong": "uint64", "longlong": "int64",
    "ulonglong": "uint64", "float": "float32", "double": "float64",
}  # fmt: skip
_NAMED: Mapping[str, tuple[DType, int]] = {
    "half2": ("float16", 2), "__half2": ("float16", 2), "__half2_raw": ("float16", 2),
    "__hip_bfloat162": ("bfloat16", 2), "__nv_bfloat162": ("bfloat16", 2),
    "hipFloatComplex": ("float32", 2), "hipComplex": ("float32", 2),
    "hipDoubleComplex": ("float64", 2), "cuFloatComplex": ("float32", 2),
    "cuComplex": ("float32", 2), "cuDoubleComplex": ("float64", 2), "void": ("float32", 1),
    "__half_raw": ("float16", 1), "long long int": ("int64", 1),
}  # fmt: skip
_MEMBER = re.compile(r"^((?:[\w:]+\s+)*?[\w:]+)\s+((?:\w+(?:\s*\[[^\]]*\])*\s*,?\s*)+)$")
_DROPPED = frozenset({
    "const", "volatile", "__restrict__", "__restrict", "restrict", "struct", "typename", "class",
})  # fmt: skip


class Types:
    """The types that a capsule's pieces declare."""

    def __init__(self, pieces: tuple[Piece, ...]) -> None:
        self._aliases = type_aliases(pieces)
        self._structs = {p.names[0]: p for p in pieces if p.kind == "type" and p.names}

    def of(self, parameter: KernelParameter, template: Mapping[str, str]) -> ArgumentType | str:
        """What the argument is, or why no workload can hold it."""
        text = resolve(parameter.type_text, {**self._aliases, **template})
        value = re.split(r"[*\[&]", text)[0]
        if self._is_functor(value) and value == text:
            return ArgumentType(is_pointer=False, dtype="uint8", width=0)
        pointers = text.count("*") + text.count("[")
        if pointers > 1 or "&" in text or "(" in text:
            return f"parameter '{parameter.name}' has type '{parameter.type_text}'"
        element = self._element(value)
        if element is None or ("<" in text and pointers == 0):
            return f"parameter '{parameter.name}' has type '{parameter.type_text}'"
        if pointers == 0 and "void" in value.split():
            return f"parameter '{parameter.name}' has type '{parameter.type_text}'"
        return ArgumentType(pointers == 1, *element)

    def _element(self, value: str, depth: int = 0) -> tuple[DType, int] | None:
        words = [t.text for t in code_tokens(value) if t.text not in _DROPPED]
        name = " ".join(words).replace(" :: ", "::")
        dtype = dtype_of(value)
        if dtype is not None:
            return dtype, 1
        if name in _NAMED:
            return _NAMED[name]
        vector = re.fullmatch(r"(?:HIP_vector_type\s*<\s*)?([a-z]+?)([1-4])", name)
        if vector and vector[1] in _VECTORS:
            return _VECTORS[vector[1]], int(vector[2])
        return self._of_struct(name.split("::")[-1], depth)

    def _is_functor(self, value: str) -> bool:
        """Whether it is a class that is only called."""
        name = "".join(t.text for t in code_tokens(value) if t.text not in _DROPPED)
        if re.fullmatch(r"std::(plus|multiplies|minus)<[\w ]+>", name):
            return True
        piece = self._structs.get(name.split("::")[-1].split("<")[0])
        if piece is None or "operator" not in piece.uses:
            return False
        return re.search(r"\b\w+\s+\w+\s*(?:=[^;(){}]*)?;", _outside_bodies(piece.text)) is None

    def _of_struct(self, name: str, depth: int) -> tuple[DType, int] | None:
        """A struct whose members are all of one dtype."""
        piece = self._structs.get(name)
        body = re.search(r"\{([\s\S]*)\}", piece.text) if piece is not None else None
        if body is None or depth > 3 or re.search(r"[(*&:{]|union", body[1]):
            return None
        found: list[tuple[DType, int]] = []
        for line in re.sub(r"//[^\n]*|/\*[\s\S]*?\*/", "", body[1]).split(";"):
            if line.strip():
                member = self._member(" ".join(line.split()), depth)
                if member is None:
                    return None
                found.append(member)
        if len({dtype for dtype, _ in found}) != 1:
            return None
        return found[0][0], sum(width for _, width in found)

    def _member(self, line: str, depth: int) -> tuple[DType, int] | None:
        match = _MEMBER.match(line)
        kind = self._element(resolve(match[1], self._aliases), depth + 1) if match else None
        if match is None or kind is None:
            return None
        count = 0
        for declared in match[2].split(","):
            sizes = re.findall(r"\[([^\]]*)\]", declared)
            numbers = [resolve(s, self._aliases).strip("() ") for s in sizes]
            if not all(n.isdigit() for n in numbers):
                return None
            amount = 1
            for number in numbers:
                amount *= int(number)
            count += amount
        return kind[0], kind[1] * count


def _outside_bodies(text: str) -> str:
    """A class without what stands in the bodies of its functions."""
    inner = text[text.find("{") + 1 :]
    while (shorter := re.sub(r"\{[^{}]*\}", "", inner)) != inner:
        inner = shorter
    return inner
