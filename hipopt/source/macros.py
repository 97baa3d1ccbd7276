"""What a file's own macros stand for, as far as reading the file takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from hipopt.source.tokens import Token, code_tokens, directive_argument, directive_name, tokenize
from hipopt.source.tree import ATTRIBUTES, QUALIFIERS


class Macro(NamedTuple):
    """A `#define`."""

    name: str
    parameters: tuple[str, ...] | None
    """None: a macro without an argument list."""
    body: str


_DEFINE = re.compile(r"(?P<name>[^\W\d]\w*)(?:\((?P<parameters>[^)]*)\))?(?P<body>[\s\S]*)")
_QUALIFYING = QUALIFIERS | ATTRIBUTES | {
    "static", "inline", "extern", "constexpr", "const", "volatile", "template",
    '"C"', "unused", "always_inline", "noinline",
}  # fmt: skip
_KNOWN = {
    "C10_HOST_DEVICE": frozenset({"__host__", "__device__"}),
    "C10_DEVICE": frozenset({"__device__"}),
    "C10_HOST": frozenset({"__host__"}),
    "GPU_LAMBDA": frozenset({"__host__", "__device__"}),
    "GPU_HOST_DEVICE": frozenset({"__host__", "__device__"}),
}


def parse_macro(directive: str) -> Macro | None:
    """The macro that a `#define` line defines; None for anything else."""
    if directive_name(directive) != "define":
        return None
    match = _DEFINE.fullmatch(directive_argument(directive))
    if match is None:
        return None
    parameters = match["parameters"]
    split = None if parameters is None else tuple(p.strip() for p in parameters.split(","))
    return Macro(match["name"], split, match["body"].strip())


def qualifier_words(name: str, macros: Mapping[str, Macro]) -> frozenset[str] | None:
    """The qualifiers that `name` stands for; None where it stands for anything else."""
    return _qualifier_words(name, macros, 8)


def _qualifier_words(name: str, macros: Mapping[str, Macro], depth: int) -> frozenset[str] | None:
    if name in macros and depth:
        return _words_of_body(macros[name], macros, depth)
    return _KNOWN.get(name)


def _words_of_body(macro: Macro, macros: Mapping[str, Macro], depth: int) -> frozenset[str] | None:
    words: set[str] = set()
    nest = 0
    tokens = code_tokens(macro.body)
    if tokens and tokens[0].text == "(":  # an expression in brackets
        return None
    for token in tokens:
        nest += (token.text in "([") - (token.text in ")]")
        if nest or token.text in ")]":
            continue
        if token.text in _QUALIFYING:
            words.add(token.text)
            continue
        inner = _qualifier_words(token.text, macros, depth - 1) if token.kind == "word" else None
        if inner is None:
            return None
        words |= inner
    return frozenset(words)


def expand_use(macro: Macro, use: str) -> str | None:
    """The text that `NAME(a, b)` stands for; None where the arguments don't fit.

    Only this macro is expanded, not those in its body: enough to see what a use declares.
    """
    arguments = _arguments(code_tokens(use), use)
    if macro.parameters is None or len(arguments) != len(macro.parameters):
        return None
    values = dict(zip(macro.parameters, arguments, strict=True))
    body = "".join(values.get(t.text, t.text) for t in tokenize(macro.body))
    return re.sub(r"\s*##\s*", "", body)


def _arguments(tokens: list[Token], use: str) -> list[str]:
    """The arguments of a macro's use, split at the commas outside of inner brackets."""
    found: list[str] = []
    nest, start = 0, 0
    for token in tokens[1:]:
        closes = token.text in (")", "]", "}")
        if nest == 1 and (token.text == "," or closes):
            found.append(use[start : token.start].strip())
            start = token.end
        nest += (token.text in ("(", "[", "{")) - closes
        if nest == 1 and not found and start == 0:
            start = token.end
        if nest == 0:
            break
    return found
