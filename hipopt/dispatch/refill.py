"""The refill: shards that run low get kernels from the manifest; rows that can't be sent are told.

Guarantee: a kernel is read when it is sent and no earlier, and at most a window of them is on its
way. Scope: one dispatch, in its turn (`hipopt.broker.turn`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from msgspec.structs import replace

from hipopt.broker.send import Envelopes, send_kernels
from hipopt.broker.turn import Turn
from hipopt.dispatch.todo import Todo
from hipopt.errors import HipoptError, ManifestError
from hipopt.messages import MessageError
from hipopt.records import KernelTask
from hipopt.rows import Rows

logger = logging.getLogger(__name__)

MOST_NAMED = 10
"""So many rows that can't be sent are named as they are found, so that a log stays readable."""


class Refill:
    """What a dispatch sends.

    Args:
        rows: of the manifest.
        todo: what of them waits; kept up with what is sent.
        envelopes: of the namespace, and for an arch if the dispatch is.
        share: most kernels of one shard on their way; None: all.
    """

    def __init__(self, rows: Rows, todo: Todo, envelopes: Envelopes, *, share: int | None) -> None:
        self.bad_rows: list[str] = []
        """What is wrong with the kernels that were left out."""
        self._rows = rows
        self._todo = todo
        self._envelopes = envelopes
        self._share = share

    def hungry(self) -> dict[int, int]:
        """How many kernels each shard that ran low is to be sent."""
        return self._todo.rooms(self._share)

    def send(self, turn: Turn) -> None:
        """Every shard that ran low has its share on its way, if it has that many.

        Raises:
            TurnLost: the turn ended; `unsent` names the kernels that were not sent.
            redis.exceptions.RedisError, OSError: the broker is away.
        """
        if rooms := self.hungry():
            kernels = self._kernels(rooms)
            send_kernels(turn, self._envelopes, kernels, self._refused)

    def check_waiting(self) -> None:
        """Every row that waits was looked at, and what can't be sent is among `bad_rows`."""
        for rank in self._todo.waiting_ranks():
            try:
                self._envelopes.message(self._rows.task(rank))
            except (ManifestError, MessageError) as error:
                self._note_bad(rank, error)

    def _kernels(self, rooms: dict[int, int]) -> Iterator[KernelTask]:
        for shard, room in rooms.items():
            for rank in self._todo.take(shard, room):
                try:
                    kernel = self._rows.task(rank)
                except ManifestError as error:
                    self._leave_out(rank, error)
                    continue
                retry = self._todo.retries.get(kernel.id, 0)
                yield replace(kernel, shard=shard, retry=retry)

    def _refused(self, kernel: KernelTask, error: MessageError) -> None:
        rank = self._rows.ids.rank(kernel.id)
        assert rank is not None  # noqa: S101 (it came from there)
        self._leave_out(rank, error)

    def _leave_out(self, rank: int, error: HipoptError) -> None:
        """A kernel that can't be sent is said and not waited for."""
        self._todo.give_up(self._rows.ids[rank])
        self._note_bad(rank, error)
        if len(self.bad_rows) <= MOST_NAMED:
            logger.error("left out: %s", self.bad_rows[-1])

    def _note_bad(self, rank: int, error: HipoptError) -> None:
        text = str(error)
        if isinstance(error, MessageError):
            text = f"{self._rows.path}: {self._rows.place(rank)}: {text}"
        self.bad_rows.append(text)
