"""The pieces of two files in one order: everything stands before what uses it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from hipopt.source.closure import condition_words
from hipopt.source.piece import Piece


def ordered(old: Sequence[Piece], new: Sequence[Piece]) -> list[Piece]:
    """`old`, then `new`; but what an old piece uses of the new ones comes before it."""
    return _Order(old, new).run()


class _Order:
    """A walk along the uses; circles are cut anywhere."""

    def __init__(self, old: Sequence[Piece], new: Sequence[Piece]) -> None:
        self.position = {piece: index for index, piece in enumerate((*old, *new))}
        self.fresh = set(new)
        self.done: dict[Piece, None] = {}
        self.makers: defaultdict[str, list[Piece]] = defaultdict(list)
        for piece in self.position:
            for name in (*piece.names, *map("namespace {}".format, piece.namespaces)):
                self.makers[name].append(piece)

    def run(self) -> list[Piece]:
        for piece in self.position:
            self._emit(piece)
        return list(self.done)

    def _emit(self, piece: Piece) -> None:
        """Append the piece behind what it uses; no recursion, so chains may be long."""
        entered: set[Piece] = set()
        waiting = [piece]
        while waiting:
            current = waiting[-1]
            if current in self.done or current in entered:
                self.done.setdefault(waiting.pop())
                continue
            entered.add(current)
            before = [p for p in self._used(current) if p not in entered and p not in self.done]
            waiting += reversed(before)

    def _used(self, piece: Piece) -> list[Piece]:
        """What has to stand before the piece, as far as that doesn't follow from its file."""
        used = {p for word in _needs(piece) for p in self.makers.get(word, ())}
        return sorted((p for p in used if self._precedes(p, piece)), key=self.position.__getitem__)

    def _precedes(self, used: Piece, piece: Piece) -> bool:
        """Within one file the file's own order holds; between two, uses decide."""
        mixed = (used in self.fresh) != (piece in self.fresh)
        return mixed or self.position[used] < self.position[piece]


def _needs(piece: Piece) -> set[str]:
    """The words that have to mean something before the piece; `using` needs the namespace."""
    if piece.kind == "using":
        return {f"namespace {word}" for word in piece.uses}
    return (condition_words(piece) | piece.uses) - set(piece.names)
