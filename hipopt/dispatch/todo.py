"""Which kernels wait, which are on their way, and how many are done: a dispatcher's bookkeeping.

One byte a kernel, by the rank of its id; no broker and no files, so that every rule of it can be
tested in memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from hipopt.dispatch.shards import ShardPlan
from hipopt.ids import Ids
from hipopt.log.line import LogLine
from hipopt.records import KernelId

OUTSIDE, WAITING, SENT, SUCCEEDED, FAILED, GIVEN_UP = range(6)


class Todo:
    """Every kernel of the chosen shards is either waiting, on its way, done or given up.

    Args:
        ids: of the manifest.
        plan: how they are cut into shards.
        chosen: numbers of the shards that this is about.
    """

    def __init__(self, ids: Ids, plan: ShardPlan, chosen: Sequence[int]) -> None:
        self._ids = ids
        self._state = bytearray(len(ids))
        self._bounds = [0, *accumulate(shard.count for shard in plan.shards)]
        shards = range(len(plan.shards))
        self._counts = [[0] * 6 for _ in shards]
        """Kernels of each shard in each state."""
        self._next = self._bounds[:-1]
        """No kernel of a shard waits before this rank."""
        self.retries: dict[KernelId, int] = {}
        """The `retry` of kernels that are done again; 0 for all others."""
        for shard in shards:
            low, high = self._bounds[shard], self._bounds[shard + 1]
            state = WAITING if shard in chosen else OUTSIDE
            self._state[low:high] = bytes([state]) * (high - low)
            self._counts[shard][state] = high - low

    @property
    def total(self) -> int:
        """Kernels that this is about."""
        return len(self._ids) - self._count(OUTSIDE)

    @property
    def waiting(self) -> int:
        """Kernels not sent yet."""
        return self._count(WAITING)

    @property
    def on_their_way(self) -> int:
        """Kernels sent and not done."""
        return self._count(SENT)

    @property
    def done(self) -> int:
        """Kernels settled by the log."""
        return self._count(SUCCEEDED) + self._count(FAILED)

    @property
    def succeeded(self) -> int:
        """Kernels settled by the log with success."""
        return self._count(SUCCEEDED)

    @property
    def given_up(self) -> int:
        """Kernels that are no longer waited for."""
        return self._count(GIVEN_UP)

    @property
    def unfinished(self) -> int:
        """Kernels left to send or to wait for."""
        return self.waiting + self.on_their_way

    @property
    def shards_done(self) -> list[int]:
        """Kernels done of each shard."""
        return [counts[SUCCEEDED] + counts[FAILED] for counts in self._counts]

    @property
    def shards_waiting(self) -> list[int]:
        """Kernels not sent yet of each shard."""
        return [counts[WAITING] for counts in self._counts]

    @property
    def shards_sent(self) -> list[int]:
        """Kernels on their way of each shard."""
        return [counts[SENT] for counts in self._counts]

    def sent(self) -> Iterator[KernelId]:
        """The kernels on their way."""
        return (self._ids[rank] for rank in self._ranks(SENT))

    def waiting_ranks(self) -> Iterator[int]:
        """The kernels not sent yet, in order."""
        return self._ranks(WAITING)

    def settle(self, rows: Iterable[LogLine]) -> int:
        """These are done; returns how many were not before.

        Rows of other files don't matter, nor rows of an earlier retry than the one asked for.
        """
        count = 0
        for row in rows:
            if self.retries and row.retry < self.retries.get(row.id, 0):
                continue
            rank = self._ids.rank(row.id)
            if rank is not None and self._state[rank] not in {OUTSIDE, GIVEN_UP}:
                count += self._state[rank] in {WAITING, SENT}
                self._move(rank, SUCCEEDED if row.status == "success" else FAILED)
        return count

    def do_again(self, retries: Mapping[KernelId, int]) -> int:
        """These wait again if they are done, to be done under that `retry`; returns how many."""
        count = 0
        for kernel_id, retry in retries.items():
            rank = self._ids.rank(kernel_id)
            if rank is not None and self._state[rank] in {SUCCEEDED, FAILED}:
                self.retries[kernel_id] = retry
                self._move(rank, WAITING)
                count += 1
        return count

    def keep(self, limit: int) -> None:
        """At most `limit` kernels wait, the first ones; the rest is left out."""
        for number, rank in enumerate(self._ranks(WAITING)):
            if number >= limit:
                self._move(rank, OUTSIDE)

    def rooms(self, share: int | None) -> dict[int, int]:
        """How many kernels each shard that runs low may be sent now; None: all that wait.

        A shard runs low at half its share, so that kernels are sent by many at once.
        """
        rooms = {}
        for shard, counts in enumerate(self._counts):
            waiting, sent = counts[WAITING], counts[SENT]
            if waiting and (share is None or sent <= share // 2):
                rooms[shard] = waiting if share is None else share - sent
        return rooms

    def take(self, shard: int, room: int) -> Iterator[int]:
        """The ranks of the next kernels of a shard, each on its way once it is yielded."""
        end = self._bounds[shard + 1]
        for _ in range(room):
            rank = self._state.find(WAITING, self._next[shard], end)
            if rank < 0:
                return
            self._move(rank, SENT)
            self._next[shard] = rank + 1
            yield rank

    def mark_sent(self, kernel_id: KernelId) -> None:
        """The kernel is on its way already, if it waits."""
        rank = self._ids.rank(kernel_id)
        if rank is not None and self._state[rank] == WAITING:
            self._move(rank, SENT)

    def take_back(self, kernel_id: KernelId) -> None:
        """A kernel on its way waits again."""
        self._from_sent(kernel_id, WAITING)

    def give_up(self, kernel_id: KernelId) -> None:
        """A kernel on its way is no longer waited for."""
        self._from_sent(kernel_id, GIVEN_UP)

    def _from_sent(self, kernel_id: KernelId, state: int) -> None:
        rank = self._ids.rank(kernel_id)
        if rank is not None and self._state[rank] == SENT:
            self._move(rank, state)

    def _ranks(self, state: int) -> Iterator[int]:
        rank = self._state.find(state)
        while rank >= 0:
            yield rank
            rank = self._state.find(state, rank + 1)

    def _move(self, rank: int, state: int) -> None:
        shard = bisect_right(self._bounds, rank) - 1
        self._counts[shard][self._state[rank]] -= 1
        self._counts[shard][state] += 1
        self._state[rank] = state
        if state == WAITING:
            self._next[shard] = min(self._next[shard], rank)

    def _count(self, state: int) -> int:
        return sum(counts[state] for counts in self._counts)
