"""A kernel's text written otherwise: other spaces, no comments, other names, the same meaning.

What a compiler reads stays the same but for the names of the kernel's own parameters and locals.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

from tree_sitter import Node

from hipopt.source.capsule import Capsule
from hipopt.source.macros import parse_macro
from hipopt.source.parse import parse
from hipopt.source.tokens import Token, code_tokens, code_words, directive_words
from hipopt.source.tree import declarator_name, parse_tree, span, walk

Style = Literal["dense", "airy"]
STYLES: tuple[Style, ...] = ("dense", "airy")

_DECLARATIONS = frozenset({
    "declaration", "parameter_declaration", "optional_parameter_declaration", "for_range_loop",
})  # fmt: skip
_MEANT_OTHERWISE = frozenset({
    "type_identifier", "namespace_identifier", "ERROR", "lambda_expression", "field_declaration",
})  # fmt: skip
_BEFORE_FOREIGN = frozenset({".", "->", "::"})


def rewritten(capsule: Capsule, style: Style, seed: int) -> str:
    """The kernel's text in another style, its parameters and locals renamed."""
    tokens = renamed(code_tokens(capsule.kernel_text), local_names(capsule), seed)
    return "".join(_laid_out(capsule.kernel_text, tokens, style, random.Random(seed)))


# -- names ------------------------------------------------------------------------------------


def local_names(capsule: Capsule) -> frozenset[str]:
    """Names of parameters and locals of the kernel that may be any others.

    Left out: names that also mean something else in the kernel's text or in its capsule, where
    telling the meanings apart would take a compiler.
    """
    tokens = code_tokens(capsule.kernel_text)
    if any(token.text in ("asm", "__asm__") for token in tokens):
        return frozenset()
    root = parse_tree(capsule.kernel_text)
    declared = {span(capsule.kernel_text, name) for name in _declared(root)}
    return frozenset(declared - _taken(capsule, root, tokens))


def _declared(root: Node) -> Iterator[Node]:
    for node in walk(root):
        if node.type in _DECLARATIONS:
            for declarator in node.children_by_field_name("declarator"):
                if not _declares_function(declarator):
                    name = declarator_name(declarator)
                    if name is not None and name.type == "identifier":
                        yield name


def _declares_function(declarator: Node) -> bool:
    return declarator.type == "function_declarator"


def _taken(capsule: Capsule, root: Node, tokens: Sequence[Token]) -> set[str]:
    """Names with another meaning: of types, members, templates, and all that stands around."""
    text = capsule.kernel_text
    taken = {capsule.kernel.rpartition("::")[2]}
    for parameter in capsule.template_parameters:
        taken.update(word.text for word in code_words(parameter))
    for node in walk(root):
        if node.type in _MEANT_OTHERWISE:
            taken.update(word.text for word in code_words(span(text, node)))
    for token in tokens:
        if token.kind == "directive":
            taken.update(word.text for word in directive_words(token))
    for token, following in pairwise(tokens):
        if token.kind == "word" and following.text == "::":
            taken.add(token.text)
    return taken | _names_around(capsule)


def _names_around(capsule: Capsule) -> set[str]:
    """What the capsule declares beside the kernel, and what its macros say of their own."""
    names: set[str] = set()
    for piece in parse(capsule.source).pieces:
        if not piece.is_kernel:
            names.update(piece.names)
        if piece.kind == "macro":
            macro = parse_macro(piece.text)
            names.update(piece.uses - set((macro and macro.parameters) or ()))
    return names


def renamed(tokens: Sequence[Token], names: frozenset[str], seed: int) -> list[Token]:
    """The tokens with each of `names` replaced by a new one, the same one everywhere."""
    there = {token.text for token in tokens}
    free = (name for k in range(len(there) + len(names)) if (name := f"v{k}_{seed}") not in there)
    new = dict(zip(sorted(names), free, strict=False))
    before = ["", *(token.text for token in tokens)]
    return [
        token._replace(text=new[token.text])
        if token.kind == "word" and token.text in new and previous not in _BEFORE_FOREIGN
        else token
        for token, previous in zip(tokens, before, strict=False)
    ]


# -- layout -----------------------------------------------------------------------------------


def _laid_out(
    text: str, tokens: Sequence[Token], style: Style, chance: random.Random
) -> Iterator[str]:
    """`tokens`, whose offsets are those of `text`, with other spaces between them."""
    originals = code_tokens(text)
    nest = 0
    for index, token in enumerate(tokens):
        yield token.text
        nest += (token.text in ("(", "[")) - (token.text in (")", "]"))
        if index + 1 == len(tokens):
            break
        following = originals[index + 1]
        if "directive" in (token.kind, following.kind):
            yield "\n"
        else:
            apart = following.start > originals[index].end
            yield _gap(token, following, style, chance, apart=apart, inside=nest > 0)
    yield "\n"


def _gap(
    token: Token, following: Token, style: Style, chance: random.Random, *, apart: bool,
    inside: bool,
) -> str:  # fmt: skip
    """What stands between two tokens: never so that they are read as others."""
    if _punctuates(token, following):
        if not apart:
            return ""
        return " "
    if style == "dense":
        return " " if _would_join(token, following) else ""
    if not apart and "string" in (token.kind, following.kind):
        return ""
    if not inside and (token.text in (";", "{", "}") or following.text in ("{", "}")):
        return "\n" + " " * chance.randrange(9)
    return chance.choice((" ", "  ", "\t", "\n"))


def _punctuates(token: Token, following: Token) -> bool:
    """Whether both could be parts of one operator: it shows in the text whether they are."""
    return token.kind == following.kind == "punctuation"


def _would_join(token: Token, following: Token) -> bool:
    """Whether the two would be read otherwise without a space: `int x`, `0xE +1`, `1 .x`."""
    wordy = ("word", "number", "string", "char")
    if token.kind in wordy and following.kind in wordy:
        return True
    return token.kind == "number" and following.text in ("+", "-", ".")
