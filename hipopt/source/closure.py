"""What a kernel needs of its file: everything that its words lead to."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from hipopt.source.piece import Piece
from hipopt.source.tokens import code_words, directive_argument

_NAMED = frozenset({"macro", "function", "prototype", "type", "variable", "macro_use", "using"})
_KEPT_PRAGMAS = frozenset({"pack", "clang", "STDC", "push_macro", "pop_macro"})
_VECTOR = re.compile(r"(?:u?(?:char|short|int|long|longlong)|float|double)[1-4]|dim3")
_NAMESPACES = frozenset({"std", "cooperative_groups"})


def closure(kernel: Piece, pieces: Sequence[Piece]) -> tuple[list[Piece], frozenset[str]]:
    """The pieces that `kernel` needs, in the order of `pieces`, and all the words that they use.

    Host functions, mutable host globals and other kernels are never needed.
    """
    needed = _Closure(kernel, pieces)
    needed.run()
    kept = [p for p in pieces if p in needed.kept or needed.accompanies(p)]
    return kept, frozenset(needed.words)


class _Closure:
    """The growing set of needed pieces."""

    def __init__(self, kernel: Piece, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        self.kept: set[Piece] = set()
        self.words: set[str] = set()
        self.waiting: list[Piece] = [kernel]
        self.by_name: defaultdict[str, list[Piece]] = defaultdict(list)
        self.operators = [p for p in pieces if p.signature and p.on_device]
        for piece in pieces:
            if _can_be_needed(piece):
                for name in piece.names:
                    self.by_name[name].append(piece)

    def run(self) -> None:
        while self.waiting:
            while self.waiting:
                self._keep(self.waiting.pop())
            self.waiting += [p for p in self.operators if self._applies(p)]

    def _keep(self, piece: Piece) -> None:
        if piece in self.kept:
            return
        self.kept.add(piece)
        for word in (piece.uses | condition_words(piece)) - self.words:
            self.words.add(word)
            self.waiting += self.by_name.get(word, ())

    def _applies(self, operator: Piece) -> bool:
        """Whether the types that an operator takes are in use."""
        if operator in self.kept:
            return False
        types = {w for w in operator.signature if w not in ("const", "operator")}
        made = {w.removeprefix("make_") for w in self.words}
        return not types.isdisjoint(self.words | made)

    def accompanies(self, piece: Piece) -> bool:
        """Whether a piece that declares nothing has to go with those that are kept."""
        if piece.kind == "undef":
            return not self.words.isdisjoint(piece.names)
        if piece.kind == "pragma":
            return any(n.split("(")[0].split()[0] in _KEPT_PRAGMAS for n in piece.names)
        if piece.kind == "using" and "namespace" in piece.uses:
            return self._knows_namespace(piece)
        return False

    def _knows_namespace(self, piece: Piece) -> bool:
        opened = {name for p in self.kept for name in p.namespaces}
        return piece.names[-1:] != () and piece.names[-1] in opened | _NAMESPACES


def _can_be_needed(piece: Piece) -> bool:
    if piece.kind not in _NAMED or not piece.on_device:
        return False
    if piece.kind == "using" and "namespace" in piece.uses:
        return False
    if piece.kind == "type" and piece.names and all(map(_VECTOR.fullmatch, piece.names)):
        return False  # for old compilers; HIP has it
    return "__global__" not in piece.head


def condition_words(piece: Piece) -> set[str]:
    """The words in the conditions around a piece."""
    headers = (h for frame in piece.frames if frame.kind == "condition" for h in frame.headers)
    return {w.text for header in headers for w in code_words(directive_argument(header))}
