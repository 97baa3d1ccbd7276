"""How often a kernel was started and neither ended nor was put back in good order.

Guarantee: the count is at the broker before the kernel's work begins, so a kernel that takes its
whole node down leaves a trace that the next node finds. Price: two small commands a kernel. Scope:
a safety net; while the broker is away nothing is counted and the work goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import redis
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

_UNDO = """
for i = 1, #ARGV do
  if redis.call('hincrby', KEYS[1], ARGV[i], -1) <= 0 then redis.call('hdel', KEYS[1], ARGV[i]) end
end
"""


class Starts:
    """The counts of a namespace, by id of the task."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self._client = client
        self._key = starts_key(namespace)
        self._undo: Any = client.register_script(_UNDO)

    def begin(self, task_id: str) -> int:
        """One more start is counted; returns how many there are now, 0 where it can't be told."""
        try:
            count: Any = self._client.hincrby(self._key, task_id, 1)
        except (RedisError, OSError) as error:
            logger.debug("start of %s not counted: %s", task_id, error)
            return 0
        return int(count)

    def end(self, task_id: str) -> None:
        """The task came to its end; its starts are forgotten."""
        try:
            self._client.hdel(self._key, task_id)
        except (RedisError, OSError) as error:
            logger.debug("end of %s not counted: %s", task_id, error)

    def undo(self, task_ids: Iterable[str]) -> None:
        """These went back to their queues in good order: their last start doesn't count."""
        ids = list(task_ids)
        if not ids:
            return
        try:
            self._undo(keys=[self._key], args=ids)
        except (RedisError, OSError) as error:
            logger.debug("%d starts not taken back: %s", len(ids), error)


def starts_key(namespace: str) -> str:
    """The Redis hash of the counts."""
    return f"{namespace}.starts"
