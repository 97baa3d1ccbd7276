"""Shards: contiguous ranges of ids, of about equal count, cut from the ids alone.

A new plan is a pure function of the ids and the number of shards. Rows that are added later go by
the boundaries of the earlier plan, so that every kernel stays in its shard, until one shard would
hold more than twice its share: then the ids are cut anew. That moves unfinished kernels to other
queues and does nothing else, since what is done is told by id alone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeAlias

from hipopt.ids import Ids
from hipopt.records import KernelId, Record

_Key: TypeAlias = tuple[bool, KernelId]

LARGEST = 2.0
"""An earlier plan is kept while no shard holds more than this many times the mean."""


class Shard(Record, frozen=True, kw_only=True):
    """One range of ids, both ends included."""

    number: int
    """From 0."""
    first_id: KernelId
    last_id: KernelId
    count: int
    """Number of kernels; 1 or more."""


class ShardPlan(Record, frozen=True, kw_only=True):
    """All shards of a manifest, in the order of their ids."""

    shards: tuple[Shard, ...]
    """One or more; shard k stands at index k."""

    def shard_of(self, kernel_id: KernelId) -> int:
        """The number of the shard whose range holds the id.

        An id between two ranges belongs to the lower one, an id before all to the first.
        """
        index = bisect_right(self.shards, order(kernel_id), key=lambda s: order(s.first_id))
        return max(index - 1, 0)


def order(kernel_id: KernelId) -> _Key:
    """Sort key of an id: numbers by value, then strings by code point."""
    return isinstance(kernel_id, str), kernel_id


def plan_shards(ids: Iterable[KernelId], shards: int) -> ShardPlan:
    """The ids cut into `shards` ranges whose counts differ by one at most.

    Fewer ids than shards: one shard an id, so that none is empty.

    Raises:
        ValueError: no ids, or fewer than one shard.
    """
    ordered = _ordered(ids)
    if not ordered or shards < 1:
        raise ValueError(f"can't cut {len(ordered)} ids into {shards} shards")
    parts = min(shards, len(ordered))
    return _cut(ordered, [len(ordered) * k // parts for k in range(parts + 1)])


def keep_plan(previous: ShardPlan, ids: Iterable[KernelId], shards: int) -> ShardPlan | None:
    """The ids by the boundaries of an earlier plan.

    None: another number of shards is wanted, or one would be empty or hold more than its share.
    """
    ordered = _ordered(ids)
    firsts = [order(shard.first_id) for shard in previous.shards[1:]]
    bounds = [0, *(bisect_left(ordered, first, key=order) for first in firsts), len(ordered)]
    sizes = [high - low for low, high in pairwise(bounds)]
    if len(sizes) != shards or min(sizes) == 0 or max(sizes) * len(sizes) > LARGEST * len(ordered):
        return None
    return _cut(ordered, bounds)


def _ordered(ids: Iterable[KernelId]) -> Sequence[KernelId]:
    return ids if isinstance(ids, Ids) else sorted(ids, key=order)


def _cut(ordered: Sequence[KernelId], bounds: Sequence[int]) -> ShardPlan:
    return ShardPlan(
        shards=tuple(
            Shard(number=k, first_id=ordered[low], last_id=ordered[high - 1], count=high - low)
            for k, (low, high) in enumerate(pairwise(bounds))
        )
    )
