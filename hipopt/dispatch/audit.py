"""The audit: kernels on their way are told from kernels that fell through.

Guarantee: a kernel is sent again only if the log lacks it and it was nowhere at the broker in two
audits in a row, as one could miss it between two places; or if the broker forgot everything.
Price: an audit reads all that waits. Scope: one dispatch, in its turn (`hipopt.broker.turn`).
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence

import redis

from hipopt.broker import queues
from hipopt.dispatch.todo import Todo
from hipopt.ids import Ids
from hipopt.messages import task_id, task_kernel
from hipopt.records import KernelId

logger = logging.getLogger(__name__)

EVERY_S = 300.0
"""The messages on their way are checked this often even while all goes well."""
LONG_ID_CHARS = 20
"""Shorter ids are never hashed, however many characters JSON makes of each of theirs."""


class Audit:
    """What a dispatch knows of its kernels at the broker. Making it connects to nothing.

    Args:
        client: of the broker.
        namespace: of the run.
        shard_queues: that this dispatch sends to.
        ids: of the manifest.
        todo: kept up with what is found.
        grace_s: a kernel that is nowhere for this long is sent again.
        resend: how often, before it is given up.
    """

    def __init__(
        self, client: redis.Redis, namespace: str, shard_queues: Sequence[str], ids: Ids,
        todo: Todo, *, grace_s: float, resend: int,
    ) -> None:  # fmt: skip
        self.resent = 0
        """Kernels that vanished and were sent again."""
        self._client = client
        self._namespace = namespace
        self._queues = shard_queues
        self._ids = ids
        self._todo = todo
        self._grace_s = grace_s
        self._most_resends = resend
        self._resends: Counter[KernelId] = Counter()
        self._suspects: frozenset[KernelId] = frozenset()
        self._at: float | None = None
        self._long_ids: dict[str, tuple[KernelId, int]] | None = None

    @property
    def is_first(self) -> bool:
        """Whether nothing is known yet, or no longer."""
        return self._at is None

    def is_due(self, *, dry: bool) -> bool:
        """Whether it is time for one. `dry`: nothing waits in the shards' queues."""
        pace = self._grace_s if dry or self._suspects else EVERY_S
        return self._at is None or time.monotonic() - self._at > pace

    def forget(self) -> None:
        """The broker may have forgotten everything: one is due."""
        self._at = None

    def look(self, on_page: Callable[[], None] = lambda: None) -> frozenset[str]:
        """The tasks that are on their way, whoever sent them."""
        known = queues.registered(self._client, self._namespace)
        everywhere = sorted({*known, *self._queues})  # other dispatches may have cut otherwise
        return queues.on_their_way(self._client, self._namespace, everywhere, on_page)

    def mark_sent(self, task_ids: frozenset[str]) -> None:
        """The kernels of these tasks are on their way, if as the retry that is asked for."""
        retries = self._todo.retries
        for name in task_ids:
            found = task_kernel(self._namespace, name) or self._hashed().get(name)
            if found is not None and found[1] == retries.get(found[0], 0):
                self._todo.mark_sent(found[0])

    def settle(self, found: frozenset[str], read_log: Callable[[], None]) -> None:
        """Kernels that vanished wait again, or are given up.

        Args:
            found: what `look` found just now.
            read_log: settles what the log has meanwhile.
        """
        kept = bool(queues.registered(self._client, self._namespace))
        queues.register(self._client, self._namespace, self._queues)
        read_log()
        nowhere = frozenset(i for i in self._todo.sent() if self._task_id(i) not in found)
        vanished = nowhere & self._suspects if kept else nowhere
        self._suspects = nowhere - vanished
        self._send_again(vanished, count=kept)
        self._at = time.monotonic()

    def _send_again(self, vanished: frozenset[KernelId], *, count: bool) -> None:
        """They wait again. A broker that forgot everything is not held against a kernel."""
        self._resends.update(vanished if count else ())
        hopeless = {i for i in vanished if self._resends[i] > self._most_resends}
        again = vanished - hopeless
        for kernel_id in hopeless:
            self._todo.give_up(kernel_id)
        for kernel_id in again:
            self._todo.take_back(kernel_id)
        self.resent += len(again)
        if again:
            logger.warning("%d kernels fell through and are sent again", len(again))
        if hopeless:
            logger.error(
                "%d kernels fell through %d times and are given up, %r among them: see the "
                "workers' logs for its id, then dispatch again",
                len(hopeless), self._most_resends + 1, next(iter(hopeless)),
            )  # fmt: skip

    def _hashed(self) -> dict[str, tuple[KernelId, int]]:
        """The kernels whose ids are too long for their tasks' ids to tell."""
        if self._long_ids is None:
            retries = self._todo.retries
            long = (i for i in self._ids if isinstance(i, str) and len(i) > LONG_ID_CHARS)
            names = ((self._task_id(i), i) for i in long)
            self._long_ids = {
                name: (i, retries.get(i, 0))
                for name, i in names
                if task_kernel(self._namespace, name) is None
            }
        return self._long_ids

    def _task_id(self, kernel_id: KernelId) -> str:
        return task_id(self._namespace, kernel_id, self._todo.retries.get(kernel_id, 0))
