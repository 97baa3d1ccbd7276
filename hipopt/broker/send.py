"""Sending kernels to their shard queues.

Guarantee: when a function returns, Redis holds the tasks. `send_kernels` sends nothing outside its
sender's turn. When it raises, some may have been sent: tell by `queues.on_their_way`, whose ids
are those that the tasks were sent under; `TurnLost.unsent` were not.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

import msgspec
from celery import Celery

from hipopt.broker.app import publish_policy
from hipopt.broker.turn import Turn, TurnLost
from hipopt.messages import (
    TASK_NAME,
    MessageError,
    encode_task,
    encode_task_json,
    shard_queue,
    task_id,
)
from hipopt.records import KernelId, KernelTask

BATCH = 100
"""Most tasks of one command."""
BATCH_BYTES = 8 * 1024 * 1024
"""A command that has grown to this many bytes takes no further task."""

Refused = Callable[[KernelTask, MessageError], None]


class Envelopes:
    """Task messages as Celery's producer would store them, a tenth of its work each.

    Celery makes one; all others differ from it in nothing but what concerns the kernel.

    Args:
        app: of the dispatcher.
        namespace: of the run.
        arch: of the GPUs that they are for; None: any worker may take them.
    """

    def __init__(self, app: Celery, namespace: str, arch: str | None = None) -> None:
        self._namespace = namespace
        self._arch = arch
        task = app.amqp.as_task_v2("", TASK_NAME, (), {}, ignore_result=True, kwargsrepr="{}")
        self._headers: dict[str, Any] = task.headers
        self._rest = msgspec.json.encode(task.body[1:])[1:]

    def queue(self, shard: int) -> str:
        """Where the tasks of the shard wait."""
        return shard_queue(self._namespace, shard, self._arch)

    def message(self, kernel: KernelTask) -> bytes:
        """The message as it lies in a Redis list.

        Raises:
            MessageError: the kernel is too large to be sent.
        """
        body = b"[[" + encode_task_json(kernel) + b"]," + self._rest
        queue = self.queue(kernel.shard)
        name = task_id(self._namespace, kernel.id, kernel.retry)
        headers = self._headers | {"id": name, "root_id": name, "argsrepr": _shown(kernel)}
        properties = {
            "correlation_id": name,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        }
        return msgspec.json.encode(
            {
                "body": base64.b64encode(body).decode(),
                "content-encoding": "utf-8",
                "content-type": "application/json",
                "headers": headers,
                "properties": properties,
            }
        )


def send_kernels(
    turn: Turn,
    envelopes: Envelopes,
    kernels: Iterable[KernelTask],
    on_refused: Refused,
) -> int:
    """The kernels stand in the queues of their shards; returns their number. Tries once.

    Args:
        turn: held by the caller.
        envelopes: of the namespace, and for an arch if the kernels are.
        kernels: read as they are sent.
        on_refused: called for each that can't be sent; the others are sent all the same.

    Raises:
        TurnLost: the turn ended; `unsent` names the kernels that were read and not sent.
        redis.exceptions.RedisError, OSError: the broker is away.
    """
    count = 0
    for batch in _batches(envelopes, kernels, on_refused):
        for shard, group in groupby(sorted(batch, key=_shard), key=_shard):
            messages = [message for _, _, message in group]
            try:
                turn.push(envelopes.queue(shard), messages)
            except TurnLost as error:
                error.unsent = tuple(i for other, i, _ in batch if other >= shard)
                raise
            count += len(messages)
    return count


_Ready = tuple[int, KernelId, bytes]
"""A kernel's shard, id and message."""


def _shard(ready: _Ready) -> int:
    return ready[0]


def _batches(
    envelopes: Envelopes, kernels: Iterable[KernelTask], on_refused: Refused
) -> Iterator[list[_Ready]]:
    batch: list[_Ready] = []
    size = 0
    for kernel in kernels:
        try:
            message = envelopes.message(kernel)
        except MessageError as error:
            on_refused(kernel, error)
            continue
        batch.append((kernel.shard, kernel.id, message))
        size += len(message)
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def send_back(app: Celery, namespace: str, kernel: KernelTask, **options: Any) -> None:  # noqa: ANN401 (headers of a Celery message)
    """The kernel stands at the end of its shard's queue. Waits for a broker that is away.

    Args:
        app: of the worker.
        namespace: of the run.
        kernel: which is held by the calling task.
        options: the `queue` that it came from, `requeues`, and how often a pool process died under
            it (`retries`).
    """
    requeues = options.pop("requeues", 0)
    with app.producer_pool.acquire(block=True) as producer:
        app.send_task(
            TASK_NAME,
            args=(encode_task(kernel, requeues),),
            argsrepr=_shown(kernel),
            kwargsrepr="{}",
            task_id=task_id(namespace, kernel.id, kernel.retry),
            producer=producer,
            ignore_result=True,
            retry=True,
            retry_policy=publish_policy(max_retries=None),
            **options,
        )


def _shown(kernel: KernelTask) -> str:
    """The task's arguments as Flower shows them."""
    return f"(id={kernel.id!r:.80}, name={kernel.name!r:.80}, shard={kernel.shard})"
