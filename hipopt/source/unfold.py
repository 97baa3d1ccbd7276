"""Macros of a text expanded in place, its spaces and lines kept, as far as reading it takes.

`expand` is exact and gives tokens: what may decide a verdict reads those.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hipopt.source.macros import Macro
from hipopt.source.tokens import Token, tokenize

_MAX_DEPTH = 12
_MAX_CHARACTERS = 400_000


def unfold(text: str, macros: Mapping[str, Macro]) -> str:
    """`text` with every use of `macros` replaced; a macro is not expanded within itself."""
    return _expand(text, macros, frozenset(), _MAX_DEPTH)


def _expand(text: str, macros: Mapping[str, Macro], busy: frozenset[str], depth: int) -> str:
    if not depth or len(text) > _MAX_CHARACTERS:
        return text
    tokens = list(tokenize(text))
    out: list[str] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        macro = macros.get(token.text) if token.kind == "word" else None
        if macro is None or macro.name in busy:
            out.append(token.text)
            at += 1
            continue
        replaced, at = _use(tokens, at, macro)
        if replaced is None:
            out.append(token.text)
            continue
        out.append(_expand(replaced, macros, busy | {macro.name}, depth - 1))
    return "".join(out)


def _use(tokens: Sequence[Token], at: int, macro: Macro) -> tuple[str | None, int]:
    """What the use at index `at` stands for, and the index behind it; None: it is no use."""
    if macro.parameters is None:
        return macro.body, at + 1
    found = split_arguments(tokens, at + 1)
    if found is None:
        return None, at + 1
    arguments, end = found
    return _substituted(macro, arguments), end


def split_arguments(tokens: Sequence[Token], at: int) -> tuple[list[str], int] | None:
    """The arguments in the brackets that open at or behind `at`, and the index behind them.

    None where no bracket opens there.
    """
    while at < len(tokens) and not tokens[at].is_code:
        at += 1
    if at >= len(tokens) or tokens[at].text != "(":
        return None
    parts: list[list[str]] = [[]]
    nest = 0
    for index in range(at, len(tokens)):
        text = tokens[index].text
        nest += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
        if nest == 0:
            arguments = ["".join(p).strip() for p in parts]
            return ([] if arguments == [""] else arguments), index + 1
        if nest == 1 and text == ",":
            parts.append([])
        elif index != at:
            parts[-1].append("" if tokens[index].kind == "comment" else text)
    return None


def _substituted(macro: Macro, arguments: Sequence[str]) -> str:
    names = macro.parameters or ()
    values = dict(zip(names, arguments, strict=False))
    if names and names[-1] == "...":
        values["__VA_ARGS__"] = ", ".join(arguments[len(names) - 1 :])
    body = "".join(values.get(t.text, t.text) for t in tokenize(macro.body))
    return re.sub(r"\s*##\s*", "", body)
