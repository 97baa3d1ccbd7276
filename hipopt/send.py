"""Sending kernels to their shard queues.

Guarantee: when a function returns, Redis holds the tasks. When it raises, some may have been
sent: tell by `queues.backlog`, whose ids are those that the tasks were sent under.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celery import Celery
from kombu.messaging import Producer

from hipopt.broker import publish_policy
from hipopt.messages import TASK_NAME, encode_task, shard_queue, task_id
from hipopt.records import KernelTask

BATCH = 100
"""Tasks of one round trip: 2,000 tasks a second where one by one gives 800."""


def send_kernels(app: Celery, namespace: str, kernels: Iterable[KernelTask]) -> int:
    """The kernels stand in the queues of their shards; returns their number. Tries once.

    Raises:
        kombu.exceptions.KombuError, redis.exceptions.RedisError, OSError: the broker is away.
    """
    count = 0
    with app.connection_for_write() as connection:
        channel = connection.channel()  # unlike default_channel, gives up on a dead broker
        producer = Producer(channel)
        with producer.batch(BATCH):
            for kernel in kernels:
                _send(app, producer, namespace, kernel, retry=False)
                count += 1
    return count


def send_back(app: Celery, namespace: str, kernel: KernelTask, **options: Any) -> None:  # noqa: ANN401 (headers of a Celery message)
    """The kernel stands at the end of its shard's queue. Waits for a broker that is away.

    Args:
        app: of the worker.
        namespace: of the run.
        kernel: which is held by the calling task.
        options: `requeues`, and how often a pool process died under it (`retries`).
    """
    with app.producer_pool.acquire(block=True) as producer:
        policy = publish_policy(max_retries=None)
        _send(app, producer, namespace, kernel, retry=True, retry_policy=policy, **options)


def _send(
    app: Celery,
    producer: Any,  # noqa: ANN401 (a kombu producer, or Celery's)
    namespace: str,
    kernel: KernelTask,
    *,
    requeues: int = 0,
    **options: Any,  # noqa: ANN401 (Celery's)
) -> None:
    app.send_task(
        TASK_NAME,
        args=(encode_task(kernel, requeues),),
        argsrepr=f"(id={kernel.id!r:.80}, name={kernel.name!r:.80}, shard={kernel.shard})",
        kwargsrepr="{}",
        queue=shard_queue(namespace, kernel.shard),
        task_id=task_id(namespace, kernel.id, kernel.retry),
        producer=producer,
        ignore_result=True,
        **options,
    )
