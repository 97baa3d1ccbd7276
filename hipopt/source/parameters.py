"""The parameters of a function, and which dtype a C type is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tree_sitter import Node

from hipopt.records import DType
from hipopt.source.capsule import KernelParameter
from hipopt.source.macros import parse_macro
from hipopt.source.piece import Piece
from hipopt.source.tokens import code_tokens, first_branch_text
from hipopt.source.tree import declarator_name, first, parse_tree, span

_PARAMETERS = frozenset({
    "parameter_declaration", "optional_parameter_declaration", "variadic_parameter_declaration",
})  # fmt: skip
_TEMPLATE_PARAMETERS = frozenset({
    "type_parameter_declaration", "optional_type_parameter_declaration",
    "variadic_type_parameter_declaration", "template_template_parameter_declaration",
}) | _PARAMETERS  # fmt: skip
_DROPPED = frozenset({
    "const", "volatile", "__restrict__", "__restrict", "restrict", "register", "struct",
    "enum", "class", "typename", "std", "::", "__grid_constant__",
})  # fmt: skip

_DTYPES: Mapping[str, DType] = {
    "float": "float32", "double": "float64", "bool": "bool",
    "__half": "float16", "half": "float16", "_Float16": "float16", "__fp16": "float16",
    "hip_bfloat16": "bfloat16", "__hip_bfloat16": "bfloat16", "__nv_bfloat16": "bfloat16",
    "nv_bfloat16": "bfloat16", "__bf16": "bfloat16",
    "float32_t": "float32", "float64_t": "float64", "float16_t": "float16",
    "Half": "float16", "BFloat16": "bfloat16",
    "char": "int8", "short": "int16", "int": "int32", "long": "int64",
    "int8_t": "int8", "int16_t": "int16", "int32_t": "int32", "int64_t": "int64",
    "uint8_t": "uint8", "uint16_t": "uint16", "uint32_t": "uint32", "uint64_t": "uint64",
    "size_t": "uint64", "ssize_t": "int64", "ptrdiff_t": "int64",
    "intptr_t": "int64", "uintptr_t": "uint64",
    "uint": "uint32", "uchar": "uint8", "ushort": "uint16", "ulong": "uint64",
    "u_int": "uint32", "u_char": "uint8", "__int64": "int64", "__int64_t": "int64",
}  # fmt: skip
_UNSIGNED: Mapping[str, DType] = {
    "char": "uint8", "short": "uint16", "int": "uint32", "long": "uint64", "__int64": "uint64",
}  # fmt: skip
_INTEGER_WORDS = frozenset({"signed", "unsigned", "char", "short", "int", "long"})


def parameters(kernel: Piece, pieces: Iterable[Piece] = ()) -> tuple[KernelParameter, ...]:
    """The kernel's parameters; typedefs, aliases and macros of `pieces` are resolved."""
    tree = kernel.tree
    if "#" in kernel.text:
        tree = parse_tree(first_branch_text(kernel.text), kernel.qualifiers)
    declarator = first(tree, "function_declarator")
    nodes = declarator.child_by_field_name("parameters") if declarator else None
    if nodes is None:
        return ()
    aliases = type_aliases(pieces)
    found = (n for n in nodes.named_children if n.type in _PARAMETERS)
    every = [_parameter(n, i, kernel.text, aliases) for i, n in enumerate(found)]
    return () if [p.type_text for p in every] == ["void"] else tuple(every)


def template_parameters(kernel: Piece) -> tuple[str, ...]:
    """As declared, without defaults: `typename T`, `int BLOCK`."""
    header = first(kernel.tree, "template_parameter_list")
    if header is None or kernel.is_specialization:
        return ()
    found = (n for n in header.named_children if n.type in _TEMPLATE_PARAMETERS)
    return tuple(_without_default(" ".join(span(kernel.text, n).split())) for n in found)


def _without_default(text: str) -> str:
    return re.split(r"\s*=", text, maxsplit=1)[0]


def _parameter(node: Node, index: int, text: str, aliases: Mapping[str, str]) -> KernelParameter:
    declarator = node.child_by_field_name("declarator")
    value = node.child_by_field_name("default_value")
    end = node.end_byte if value is None else value.start_byte
    whole = text[node.start_byte : end].rstrip().removesuffix("=").rstrip()
    name = declarator_name(declarator) if declarator is not None else None
    if name is None:
        return _typed(f"arg{index}", whole, aliases)
    at = name.start_byte - node.start_byte
    called = span(text, name)
    return _typed(called, whole[:at] + " " + whole[at + len(called) :], aliases)


def _typed(name: str, type_text: str, aliases: Mapping[str, str]) -> KernelParameter:
    type_text = " ".join(type_text.split())
    type_text = re.sub(r"\s+(?=[*&\[])", "", type_text)
    resolved = resolve(type_text, aliases)
    pointers = resolved.count("*") + resolved.count("[")
    value = re.split(r"[*\[]", resolved)[0]
    return KernelParameter(
        name=name,
        type_text=type_text,
        is_pointer=pointers > 0 and "&" not in resolved and "<" not in resolved,
        is_const="const" in value.split(),
        dtype=dtype_of(value) if pointers <= 1 and "&" not in resolved else None,
    )


def type_aliases(pieces: Iterable[Piece]) -> dict[str, str]:
    """What each typedef, `using` and plain macro stands for, one step only."""
    aliases: dict[str, str] = {}
    for piece in pieces:
        if piece.kind == "macro":
            macro = parse_macro(piece.text)
            if macro is not None and macro.parameters is None:
                aliases[macro.name] = macro.body
        elif piece.kind == "type" and len(piece.names) == 1:
            meant = _aliased(piece)
            if meant is not None:
                aliases[piece.names[0]] = meant
    return aliases


def _aliased(piece: Piece) -> str | None:
    name = re.escape(piece.names[0])
    text = " ".join(t.text for t in code_tokens(piece.text))
    typedef = re.fullmatch(rf"typedef ([^{{}}()\[\]]+?) {name} ;", text)
    using = re.fullmatch(rf"using {name} = ([^{{}}()]+?) ;", text)
    match = typedef or using
    return match.group(1).replace(" :: ", "::") if match else None


def resolve(type_text: str, aliases: Mapping[str, str]) -> str:
    """The type with aliases replaced, until none is left (or they go in a circle)."""
    for _ in range(8):
        tokens = [aliases.get(t.text, t.text) for t in code_tokens(type_text)]
        resolved = " ".join(tokens)
        if resolved == type_text:
            break
        type_text = resolved
    return type_text


def dtype_of(value_type: str) -> DType | None:
    """The dtype of a C type without pointers; None for structs, vectors and template types."""
    words = [t.text for t in code_tokens(value_type) if t.text not in _DROPPED]
    words = [w for w in words if w not in ("at", "c10")]
    if words and set(words) <= _INTEGER_WORDS:
        return _integer(words)
    if len(words) == 2 and words[0] == "unsigned":
        return _UNSIGNED.get(words[1])
    return _DTYPES.get(words[0]) if len(words) == 1 else None


def _integer(words: list[str]) -> DType:
    """`unsigned long long int` in any order; `long` has 64 bits on every device here."""
    size = next((w for w in ("char", "short", "long") if w in words), "int")
    return _UNSIGNED[size] if "unsigned" in words else _DTYPES[size]


def type_key(parameter_type: str, aliases: Mapping[str, str]) -> str:
    """Equal for two types that take the same argument: const, restrict and spelling don't count."""
    resolved = resolve(parameter_type, aliases)
    tokens = [t.text for t in code_tokens(resolved) if t.text not in _DROPPED]
    text = "".join(tokens) if "<" in tokens else ""
    value, marks = _split_marks(tokens)
    dtype = dtype_of(" ".join(value))
    return (text and text.replace(",", ", ")) or f"{dtype or ' '.join(value)}{marks}"


def _split_marks(tokens: list[str]) -> tuple[list[str], str]:
    """The value's words, and its `*`, `&` and brackets; the first array bound decays."""
    at = next((i for i, t in enumerate(tokens) if t in "*&[("), len(tokens))
    marks = "".join(tokens[at:])
    return tokens[:at], re.sub(r"^(\(?)\[[^\]]*\]", r"\1*", marks)
