"""The ids of a manifest, sorted and packed, so that a million take some ten bytes each.

An id's rank is its place in the order of `shards.order`: numbers by value, then strings by code
point. All bookkeeping of a dispatch goes by rank.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import overload

from hipopt.records import KernelId


class Ids(Sequence[KernelId]):
    """Ids in order, each once."""

    def __init__(self, ids: Iterable[KernelId]) -> None:
        numbers: list[int] = []
        strings: list[str] = []
        for kernel_id in ids:
            if isinstance(kernel_id, str):
                strings.append(kernel_id)
            else:
                numbers.append(kernel_id)
        numbers.sort()
        strings.sort()
        self._numbers: Sequence[int] = _packed(numbers)
        self._strings: list[str] = strings

    def __len__(self) -> int:
        return len(self._numbers) + len(self._strings)

    @overload
    def __getitem__(self, rank: int) -> KernelId: ...
    @overload
    def __getitem__(self, rank: slice) -> Sequence[KernelId]: ...
    def __getitem__(self, rank: int | slice) -> KernelId | Sequence[KernelId]:
        if isinstance(rank, slice):
            return [self[k] for k in range(*rank.indices(len(self)))]
        if rank < 0:
            rank += len(self)
        count = len(self._numbers)
        return self._numbers[rank] if rank < count else self._strings[rank - count]

    def rank(self, kernel_id: KernelId) -> int | None:
        """Where the id stands; None: it is not among them."""
        if isinstance(kernel_id, str):
            place = bisect_left(self._strings, kernel_id)
            found = place < len(self._strings) and self._strings[place] == kernel_id
            return place + len(self._numbers) if found else None
        place = bisect_left(self._numbers, kernel_id)
        found = place < len(self._numbers) and self._numbers[place] == kernel_id
        return place if found else None


def _packed(numbers: list[int]) -> Sequence[int]:
    """The numbers in eight bytes each, where they fit."""
    try:
        return array("q", numbers)
    except OverflowError:
        return numbers
