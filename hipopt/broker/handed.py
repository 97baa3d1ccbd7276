"""Kernels that a task handed to others while its own message is not acknowledged yet.

Guarantee: a worker that is stopped meanwhile puts back a message that nobody works on any more, so
the kernel runs once. Price: one command for each kernel that is handed over, one for each start.
Scope: from handing over until `within_s` later; while the broker is away nothing is known, and
what comes back is worked on.
"""

from __future__ import annotations

import logging
from typing import Any

import redis
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)


class Handed:
    """What was handed over in a namespace, by id of the task."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    def note(self, task_id: str, requeues: int, within_s: float) -> None:
        """The message with that many requeues stands in its queue; those with fewer are stale."""
        try:
            self._client.set(handed_key(self._namespace, task_id), requeues, ex=int(within_s) + 1)
        except (RedisError, OSError) as error:
            logger.debug("%s handed over, not noted: %s", task_id, error)

    def is_stale(self, task_id: str, requeues: int) -> bool:
        """Whether a later message of the same kernel was sent in place of this one."""
        try:
            latest: Any = self._client.get(handed_key(self._namespace, task_id))
        except (RedisError, OSError) as error:
            logger.debug("not known whether %s was handed over: %s", task_id, error)
            return False
        return latest is not None and int(latest) > requeues


def handed_key(namespace: str, task_id: str) -> str:
    """The Redis key that says so of one task; it expires."""
    return f"{namespace}.handed:{task_id}"
