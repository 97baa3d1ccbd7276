"""One piece of HIP as a syntax tree.

The grammar is C++; what HIP adds is blanked out first, character for character, so that every
offset in the tree is one of the text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

import tree_sitter_cpp
from tree_sitter import Language, Node, Parser

from hipopt.source.tokens import Token, blank, code_tokens

QUALIFIERS = frozenset({
    "__global__", "__device__", "__host__", "__shared__", "__constant__", "__managed__",
    "__forceinline__", "__noinline__", "__inline__", "__grid_constant__", "__restrict__",
    "__restrict", "restrict", "__hip_pinned_shadow__", "__extension__", "__forceinline",
})  # fmt: skip
"""Words that the grammar doesn't know and that may go without changing what a piece declares."""

ATTRIBUTES = frozenset({
    "__launch_bounds__", "__attribute__", "__align__", "alignas", "__declspec", "__block_size__",
    "C10_LAUNCH_BOUNDS_0", "C10_LAUNCH_BOUNDS_1", "C10_LAUNCH_BOUNDS_2",
})  # fmt: skip
"""The same, with an argument list behind them."""

_PARSER = Parser(Language(tree_sitter_cpp.language()))


def parse_tree(text: str, qualifiers: Collection[str] = ()) -> Node:
    """The tree's root; `qualifiers` are more words to blank out, with their argument list if any.

    Offsets are those of `text` in characters: what isn't ASCII is stood in for by one letter.
    """
    return _PARSER.parse(_for_grammar(text, qualifiers).encode("ascii")).root_node


def _for_grammar(text: str, qualifiers: Collection[str]) -> str:
    tokens = code_tokens(text)
    plain = re.sub(r"[^\x00-\x7f]", "x", text)
    for start, end in _foreign(tokens, qualifiers):
        plain = blank(plain, start, end)
    return plain


def _foreign(tokens: list[Token], qualifiers: Collection[str]) -> Iterator[tuple[int, int]]:
    """Ranges that hold what C++ doesn't know."""
    for index, token in enumerate(tokens):
        if token.kind != "word":
            continue
        if token.text in QUALIFIERS:
            yield token.start, token.end
        elif token.text in ATTRIBUTES or token.text in qualifiers:
            yield token.start, _end_of_arguments(tokens, index)


def _end_of_arguments(tokens: list[Token], index: int) -> int:
    """End of `NAME(...)` where `index` is at NAME; of NAME alone where no bracket follows."""
    if index + 1 >= len(tokens) or tokens[index + 1].text != "(":
        return tokens[index].end
    nest = 0
    for token in tokens[index + 1 :]:
        nest += (token.text == "(") - (token.text == ")")
        if nest == 0:
            return token.end
    return tokens[-1].end


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, in the order of the text; no recursion, so depth is free."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        waiting.extend(reversed(current.children))


def first(node: Node, *kinds: str) -> Node | None:
    """The first node of one of these kinds, `node` itself included."""
    return next((n for n in walk(node) if n.type in kinds), None)


def span(text: str, node: Node) -> str:
    """The text that the node covers, as it was before blanking."""
    return text[node.start_byte : node.end_byte]


_NAMES = frozenset({
    "identifier", "type_identifier", "field_identifier", "qualified_identifier", "operator_name",
    "template_function", "destructor_name", "operator_cast", "template_type",
})  # fmt: skip


def declarator_name(node: Node) -> Node | None:
    """The node that names what a declarator declares: `x` of `(*x)[4]`; None where nothing does."""
    current: Node | None = node
    while current is not None and current.type not in _NAMES:
        inner = current.child_by_field_name("declarator")
        if inner is None:
            inner = next(
                (
                    c
                    for c in current.named_children
                    if c.type in _NAMES or c.type.endswith("declarator")
                ),
                None,
            )
        current = inner
    return current
