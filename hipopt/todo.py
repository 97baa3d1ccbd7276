"""Which kernels wait, which are on their way, and how many are done: a dispatcher's bookkeeping.

Ids only, no broker and no files, so that every rule of it can be tested in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hipopt.logline import LogLine
from hipopt.records import KernelId
from hipopt.shards import ShardPlan


class Todo:
    """Every kernel of the chosen shards is either waiting, on its way, done or given up."""

    def __init__(self, ids: Iterable[KernelId], plan: ShardPlan, chosen: Sequence[int]) -> None:
        self._plan = plan
        self._waiting: list[set[KernelId]] = [set() for _ in plan.shards]
        self._sent: list[set[KernelId]] = [set() for _ in plan.shards]
        self.shards_done = [0] * len(plan.shards)
        """Kernels done of each shard."""
        self.succeeded = 0
        self.given_up = 0
        self.retries: dict[KernelId, int] = {}
        """The `retry` of kernels that are done again; 0 for all others."""
        for kernel_id in ids:
            shard = plan.shard_of(kernel_id)
            if shard in chosen:
                self._waiting[shard].add(kernel_id)
        self.total = self.waiting

    @property
    def waiting(self) -> int:
        """Kernels not sent yet."""
        return sum(map(len, self._waiting))

    @property
    def on_their_way(self) -> int:
        """Kernels sent and not done."""
        return sum(map(len, self._sent))

    @property
    def done(self) -> int:
        """Kernels settled by the log."""
        return sum(self.shards_done)

    @property
    def unfinished(self) -> int:
        """Kernels left to send or to wait for."""
        return self.waiting + self.on_their_way

    def sent(self) -> Iterable[KernelId]:
        """The kernels on their way."""
        return (kernel_id for shard in self._sent for kernel_id in shard)

    def settle(self, rows: Iterable[LogLine]) -> int:
        """These are done; returns how many were not before.

        Rows of other files don't matter, nor rows of an earlier retry than the one asked for.
        """
        count = 0
        for row in rows:
            if row.retry < self.retries.get(row.id, 0):
                continue
            shard = self._plan.shard_of(row.id)
            for pool in (self._waiting[shard], self._sent[shard]):
                if row.id in pool:
                    pool.remove(row.id)
                    self.shards_done[shard] += 1
                    self.succeeded += row.status == "success"
                    count += 1
        return count

    def keep(self, limit: int) -> None:
        """At most `limit` kernels wait, the first of each shard in turn; the rest is left out."""
        for shard, waiting in enumerate(self._waiting):
            kept = sorted(waiting, key=lambda i: (isinstance(i, str), i))[:limit]
            self._waiting[shard] = set(kept)
            limit -= len(kept)
        self.total = self.waiting + self.on_their_way + self.done

    def rooms(self, share: int | None) -> dict[int, int]:
        """How many kernels each shard that runs low may be sent now; None: all that wait.

        A shard runs low at half its share, so that the manifest isn't read for every kernel.
        """
        rooms = {}
        for shard, waiting in enumerate(self._waiting):
            sent = len(self._sent[shard])
            if waiting and (share is None or sent <= share // 2):
                rooms[shard] = len(waiting) if share is None else share - sent
        return rooms

    def take(self, kernel_id: KernelId, rooms: dict[int, int]) -> bool:
        """The kernel is on its way from now on, if it waits and its shard has room."""
        shard = self._plan.shard_of(kernel_id)
        if not rooms.get(shard) or kernel_id not in self._waiting[shard]:
            return False
        rooms[shard] -= 1
        self._waiting[shard].remove(kernel_id)
        self._sent[shard].add(kernel_id)
        return True

    def mark_sent(self, is_sent: Callable[[KernelId], bool]) -> None:
        """The waiting kernels that `is_sent` says so of are on their way already."""
        for waiting, sent in zip(self._waiting, self._sent, strict=True):
            found = {kernel_id for kernel_id in waiting if is_sent(kernel_id)}
            waiting -= found
            sent |= found

    def take_back(self, kernel_id: KernelId) -> None:
        """A kernel on its way waits again."""
        shard = self._plan.shard_of(kernel_id)
        self._sent[shard].discard(kernel_id)
        self._waiting[shard].add(kernel_id)

    def give_up(self, kernel_id: KernelId) -> None:
        """A kernel on its way is no longer waited for."""
        self._sent[self._plan.shard_of(kernel_id)].discard(kernel_id)
        self.given_up += 1
