"""How a file's host code launches a kernel, as written there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from tree_sitter import Node

from hipopt.source.capsule import Launch
from hipopt.source.folding import Function, Names
from hipopt.source.macros import Macro, parse_macro
from hipopt.source.parse import macros_of
from hipopt.source.piece import Piece
from hipopt.source.tokens import Token, clean, code_tokens, tokenize
from hipopt.source.tree import declarator_name, first, span, walk
from hipopt.source.unfold import split_arguments, unfold

_CALLS = frozenset({
    "hipLaunchKernelGGL", "hipLaunchKernel", "hipLaunchKernelGGLInternal", "HIP_LAUNCH_KERNEL",
})  # fmt: skip
_BY_POINTERS = frozenset({"hipLaunchCooperativeKernel", "cudaLaunchCooperativeKernel"})
"""Calls that take the kernel's arguments as an array of pointers."""
_MAX_LAUNCHES = 6
_MAX_TEXT = 400


def launches(pieces: Sequence[Piece], kernel: str) -> tuple[Launch, ...]:
    """The launches of `kernel` in the file's functions, in order, the same one once."""
    macros = macros_of(pieces)
    shared = _shared(pieces)
    found: list[Launch] = []
    for piece in pieces:
        if piece.kind in ("function", "other", "macro_use") and kernel in piece.uses:
            found += _in_function(piece, kernel, macros, shared)
    for macro in macros.values():
        if re.search(rf"\b{re.escape(kernel)}\b", macro.body) and macro.name != kernel:
            found += _in_text(macro.body, kernel, shared)
    return tuple(dict.fromkeys(found))[:_MAX_LAUNCHES]


def names_of(launch: Launch, numbers: Mapping[str, int | float]) -> Names:
    """What the names in a launch stand for, `numbers` before the host code's own definitions."""
    functions = {
        name: Function(parameters, result) for name, parameters, result in launch.functions
    }
    return Names(numbers, dict(launch.definitions), functions)


def functions_of(pieces: Sequence[Piece]) -> dict[str, Function]:
    """The functions that are one `return`, by name."""
    found: dict[str, Function] = {}
    for piece in pieces:
        function = (
            _one_return(piece) if piece.kind == "function" and len(piece.text) < 600 else None
        )
        if function is not None:
            found[piece.names[0]] = function
    return found


def definitions_of(pieces: Sequence[Piece]) -> dict[str, str]:
    """Macros without arguments and constants, by name, as written."""
    macros = [*macros_of(pieces).values(), *_numeric(pieces)]
    found = {m.name: m.body for m in macros if m.parameters is None and 0 < len(m.body) < 200}
    for piece in pieces:
        if piece.kind in ("variable", "type"):
            found = _defined(piece.tree, piece.text) | found
    return found


def _numeric(pieces: Sequence[Piece]) -> Iterator[Macro]:
    """Macros that some branch of an `#if` defines as a number."""
    found = (parse_macro(p.text) for p in pieces if p.kind == "macro")
    yield from (m for m in found if m is not None and re.fullmatch(r"\(?\d+\)?", m.body))


def _one_return(piece: Piece) -> Function | None:
    match = re.search(r"\{\s*return\b([^;{}]*);\s*\}\s*$", clean(piece.text))
    declarator = first(piece.tree, "function_declarator")
    nodes = declarator.child_by_field_name("parameters") if declarator else None
    if match is None or nodes is None:
        return None
    inner = [n.child_by_field_name("declarator") for n in nodes.named_children]
    names = [declarator_name(n) if n is not None else None for n in inner]
    return Function(tuple(span(piece.text, n) if n else "" for n in names), match.group(1).strip())


class _Shared:
    """What every function of the file can name."""

    def __init__(self, definitions: dict[str, str], functions: dict[str, Function]) -> None:
        self.definitions = definitions
        self.functions = functions


def _shared(pieces: Sequence[Piece]) -> _Shared:
    """Macros and constants; then what other functions and classes first give to a name."""
    definitions = definitions_of(pieces)
    for piece in pieces:
        if piece.kind == "function" and "__global__" not in piece.head:
            definitions = _defined(piece.tree, piece.text) | definitions
    return _Shared(definitions, functions_of(pieces))


def _in_function(
    piece: Piece, kernel: str, macros: Mapping[str, Macro], shared: _Shared
) -> Iterator[Launch]:
    if "__global__" in piece.head:
        return
    local = _Shared({**shared.definitions, **_defined(piece.tree, piece.text)}, shared.functions)
    functional = {k: m for k, m in macros.items() if m.parameters is not None}
    found = list(_in_text(piece.text, kernel, local))
    yield from found or _in_text(unfold(piece.text, functional), kernel, local)


def _defined(tree: Node, text: str) -> dict[str, str]:
    """What variables are first given, by name; `block.x` for a member."""
    found: dict[str, str] = {}
    for node in walk(tree):
        if node.type == "init_declarator":
            name, value = _initialised(node, text)
        elif node.type == "function_declarator":
            name, value = _constructed(node, text)
        elif node.type == "field_declaration":
            left, right = (node.child_by_field_name(f) for f in ("declarator", "default_value"))
            name, value = (span(text, n) if n else "" for n in (left, right))
        elif node.type == "assignment_expression" and _is_plain(node, text):
            left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
            name = span(text, left).replace(" ", "") if left else ""
            value = span(text, right) if right else ""
        elif node.type == "enumerator":
            left, right = node.child_by_field_name("name"), node.child_by_field_name("value")
            name, value = (span(text, n) if n else "" for n in (left, right))
        else:
            continue
        if name and value and len(value) < _MAX_TEXT:
            found.setdefault(name, value)
    return found


def _constructed(node: Node, text: str) -> tuple[str, str]:
    """`dim3 block(TILE, TILE);`, which the grammar takes for a function's announcement."""
    kind = node.parent.child_by_field_name("type") if node.parent is not None else None
    name, values = (node.child_by_field_name(f) for f in ("declarator", "parameters"))
    if kind is None or name is None or values is None or span(text, kind) != "dim3":
        return "", ""
    return span(text, name), f"dim3{span(text, values)}"


def _is_plain(node: Node, text: str) -> bool:
    operator = node.child_by_field_name("operator")
    return operator is not None and span(text, operator) == "="


def _initialised(node: Node, text: str) -> tuple[str, str]:
    declarator, value = (node.child_by_field_name(f) for f in ("declarator", "value"))
    name = declarator_name(declarator) if declarator else None
    if name is None or value is None:
        return "", ""
    written = span(text, value)
    if value.type == "argument_list":
        kind = node.parent.child_by_field_name("type") if node.parent else None
        written = f"{span(text, kind) if kind else 'int'}{written}"
    return span(text, name), written


def _in_text(text: str, kernel: str, names: _Shared) -> Iterator[Launch]:
    tokens = code_tokens(text)
    for index, token in enumerate(tokens):
        if token.kind != "word":
            continue
        found = None
        if token.text == kernel:
            found = _chevrons(tokens, index, text)
        elif token.text in _CALLS:
            found = _called(text[token.end :], kernel)
        elif token.text in _BY_POINTERS:
            found = _called_by_pointers(text[token.end :], kernel, names)
        if found is not None:
            yield _launch(*found, names)


_Parts = tuple[tuple[str, ...], list[str], list[str]]
"""Template arguments, configuration, kernel arguments."""


def _chevrons(tokens: Sequence[Token], index: int, text: str) -> _Parts | None:
    """`k<T><<<grid, block, lds, stream>>>(args)` with the kernel's name at `index`."""
    texts = [t.text for t in tokens]
    start = next((i for i in range(index + 1, min(index + 60, len(texts)))
                  if texts[i : i + 3] == ["<", "<", "<"]), None)  # fmt: skip
    end = next(
        (i for i in range(start or 0, len(texts)) if texts[i : i + 3] == [">", ">", ">"]), None
    )
    if start is None or end is None or ";" in texts[index:start]:
        return None
    between = text[tokens[index].end : tokens[start].start].strip().strip(")").strip()
    if between and not between.startswith("<"):
        return None
    config = _split(text[tokens[start + 2].end : tokens[end].start])
    arguments = split_arguments(list(tokenize(text[tokens[end + 2].end :])), 0)
    if arguments is None:
        return None
    return _template(between), config, arguments[0]


def _called(behind: str, kernel: str) -> _Parts | None:
    """`hipLaunchKernelGGL(k<T>, grid, block, lds, stream, args)`, from behind the call's name."""
    found = _called_with(behind, kernel)
    return None if found is None else (found[0], found[1][:4], found[1][4:])


def _called_by_pointers(behind: str, kernel: str, names: _Shared) -> _Parts | None:
    """`hipLaunchCooperativeKernel(k<T>, grid, block, pointers, lds, stream)`."""
    found = _called_with(behind, kernel)
    if found is None or len(found[1]) < 4:
        return None
    template, (grid, block, pointers, lds, *_) = found
    text = names.definitions.get(pointers.strip(), "").strip()
    taken = _split(text[1:-1]) if text.startswith("{") and text.endswith("}") else []
    return template, [grid, block, lds], [_pointed(argument) for argument in taken if argument]


def _pointed(argument: str) -> str:
    """What `&x` or `(void*)&x` points to."""
    return argument.rpartition("&")[2].strip(" )")


def _called_with(behind: str, kernel: str) -> tuple[tuple[str, ...], list[str]] | None:
    """The template's arguments and those behind the kernel's name, from behind the call's name."""
    found = split_arguments(list(tokenize(behind)), 0)
    if found is None:
        return None
    arguments = _rejoined(found[0])
    if len(arguments) < 5:
        return None
    name = re.fullmatch(
        rf"(?:HIP_KERNEL_NAME|KERNEL_NAME|HIP_SYMBOL)?\s*\(?\s*(?:\(\s*void\s*\*\s*\))?\s*&?\s*"
        rf"(?:\w+\s*::\s*)*{re.escape(kernel)}\s*(<[\s\S]*>)?\s*\)?",
        arguments[0],
    )
    return None if name is None else (_template(name.group(1) or ""), arguments[1:])


def _rejoined(arguments: list[str]) -> list[str]:
    """Arguments with those put together again that were cut at a comma between angle brackets."""
    joined: list[str] = []
    for argument in arguments:
        name = joined[0] if len(joined) == 1 else ""
        if name.count("<") > name.count(">"):
            joined[0] = f"{name}, {argument}"
        else:
            joined.append(argument)
    return joined


def _split(text: str) -> list[str]:
    found = split_arguments(list(tokenize(f"({text})")), 0)
    return found[0] if found else []


def _template(text: str) -> tuple[str, ...]:
    inner = text.strip().removeprefix("<").removesuffix(">").strip()
    parts, nest, start = [], 0, 0
    for at, letter in enumerate(inner):
        nest += (letter in "<([{") - (letter in ">)]}")
        if letter == "," and nest == 0:
            parts.append(inner[start:at].strip())
            start = at + 1
    return (*parts, inner[start:].strip()) if inner else ()


def _launch(
    template: tuple[str, ...], config: list[str], arguments: list[str], names: _Shared
) -> Launch:
    grid, block, lds = (*config, "1", "1", "0")[:3] if len(config) > 1 else (*config, "1", "0")
    used = _needed([grid, block, lds, *template, *arguments], names)
    return Launch(
        grid=grid,
        block=block,
        lds_bytes=lds,
        template=template,
        args=tuple(arguments),
        definitions=tuple(sorted(used.definitions.items())),
        functions=tuple((k, f.parameters, f.result) for k, f in sorted(used.functions.items())),
    )


def _needed(texts: Sequence[str], names: _Shared) -> _Shared:
    """Those of `names` that the texts lead to."""
    found = _Shared({}, {})
    waiting = list(texts)
    while waiting:
        for word in {t.text for t in code_tokens(waiting.pop()) if t.kind == "word"}:
            for name in (word, *(f"{word}.{axis}" for axis in "xyz")):
                if name in names.definitions and name not in found.definitions:
                    found.definitions[name] = names.definitions[name]
                    waiting.append(names.definitions[name])
            if word in names.functions and word not in found.functions:
                found.functions[word] = names.functions[word]
                waiting.append(names.functions[word].result)
    return found
