"""The broker: one Celery app factory, with the settings that were tested, and how to reach Redis.

Guarantee: a task is acknowledged after its result is stored at the broker, so a kill of anything
at any time leaves the task, its result, or both. Price: a task may run twice; the log keeps one
row a kernel. Scope: one Redis (or Valkey). What each setting is for stands in
`docs/decisions/acknowledge-last-and-reconcile.md`.

All that share a namespace must share `lease_s`: they get it, as everything else, from here.
"""

from __future__ import annotations

from typing import Any

import redis
from celery import Celery
from kombu.entity import Exchange, Queue
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from hipopt.broker.advice import explain
from hipopt.broker.rights import try_rights
from hipopt.broker.transport import GatedAMQP
from hipopt.broker.url import endpoint
from hipopt.errors import BrokerError
from hipopt.messages import result_queue, shard_queue
from hipopt.settings import Settings

WORKER_LOST_RETRIES = 3
"""A kernel whose pool process dies under it runs once and then this often again."""


def make_app(settings: Settings) -> Celery:
    """A Celery app on the broker of the settings; nothing is connected yet.

    Raises:
        BrokerError: the broker's URL is of no kind that hipopt speaks.
    """
    where = endpoint(settings)
    namespace = settings.namespace
    app = Celery("hipopt", broker=where.url, amqp=GatedAMQP, set_as_current=False)
    app.conf.update(
        broker_use_ssl=where.tls,
        task_ignore_result=True,
        accept_content=["json"],
        task_serializer="json",
        # Nothing is lost: acknowledge last, put back what a dead process held.
        task_acks_late=True,
        task_acks_on_failure_or_timeout=True,
        task_reject_on_worker_lost=True,
        task_retry_on_worker_lost=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Nothing is hoarded: a task waits in its queue, not in a busy worker.
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        # A stop puts running kernels back at once: Celery's soft shutdown sleeps its time out, with
        # nothing to do just as with work done, and runs again what finished meanwhile.
        worker_soft_shutdown_timeout=0.0,
        # A broker that is away comes back.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=transport_options(settings),
        task_publish_retry_policy=publish_policy(max_retries=5),
        # Several runs share one Redis without hearing of each other.
        task_queues=[_queue(shard_queue(namespace, k)) for k in range(settings.shards)],
        task_default_queue=shard_queue(namespace, 0),
        control_exchange=f"{namespace}.pidbox",
        event_exchange=f"{namespace}.celeryev",
        event_queue_prefix=f"{namespace}.celeryev",
        worker_send_task_events=True,  # Flower lives on these
        worker_hijack_root_logger=False,
    )
    return app


def _queue(name: str) -> Queue:
    return Queue(name, Exchange(name, type="direct"), routing_key=name)


def transport_options(settings: Settings) -> dict[str, Any]:
    """What kombu's Redis transport is told, by whomever in hipopt it is used.

    `retry_on_timeout` must stay away: it switches off batched publishing.
    """
    return {
        "namespace": settings.namespace,
        "visibility_timeout": settings.lease_s,
        "unacked_restore_interval": min(10.0, settings.lease_s / 4),
        "unacked_restore_throttle": 1,
        "unacked_key": f"{settings.namespace}.unacked",
        "unacked_index_key": f"{settings.namespace}.unacked_index",
        "unacked_mutex_key": f"{settings.namespace}.unacked_mutex",
        "queue_order_strategy": "round_robin",
        "socket_keepalive": True,
        "socket_timeout": 30,
        "socket_connect_timeout": 10,
        "health_check_interval": 10,
    }


def publish_policy(*, max_retries: int | None) -> dict[str, Any]:
    """How publishing is tried again while the broker is away; None: for as long as we live."""
    return {
        "max_retries": max_retries,
        "interval_start": 0.1,
        "interval_step": 0.5,
        "interval_max": 10.0,
    }


def publish_result(
    app: Celery, namespace: str, body: bytes, *, max_retries: int | None = None
) -> None:
    """The result message is stored at the broker: Redis has answered that it holds it.

    Waits for a broker that is away, by default for as long as it takes: the task that calls this
    is not acknowledged meanwhile, so giving up would only mean doing its work again.
    """
    with app.producer_pool.acquire(block=True) as producer:
        producer.publish(
            body,
            exchange="",
            routing_key=result_queue(namespace),
            content_type="application/json",
            content_encoding="utf-8",
            retry=True,
            retry_policy=publish_policy(max_retries=max_retries),
        )


def connect(settings: Settings, *, timeout_s: float = 30.0) -> redis.Redis:
    """A plain Redis client for what kombu has no word for. Connects on first use, never retries."""
    where = endpoint(settings)
    options: dict[str, Any] = {"socket_timeout": timeout_s, **where.client_options()}
    if where.path is None:  # a socket is there at once or not at all
        options["socket_connect_timeout"] = min(timeout_s, 10.0)
    return redis.Redis(**options, retry=Retry(NoBackoff(), 0))


def check_broker(settings: Settings, *, timeout_s: float = 3.0) -> list[str]:
    """The broker answers and lets us work; returns warnings about how it is set up.

    Raises:
        BrokerError: it doesn't, within a few seconds, or it refuses us. Says what to do.
    """
    where = endpoint(settings)
    try:
        with connect(settings, timeout_s=timeout_s) as client:
            client.ping()
            try_rights(client, settings.namespace, where.db)
            return _warnings(client)
    except (RedisError, OSError, ValueError) as error:
        raise BrokerError(explain(error, where, settings)) from None


def _warnings(client: redis.Redis) -> list[str]:
    try:
        config: dict[Any, Any] = {}
        for name in ("appendonly", "maxmemory", "maxmemory-policy"):  # one at a time before Redis 7
            config |= client.config_get(name)
    except RedisError:  # a least-rights user and hosted brokers may not ask
        return []
    found = []
    if config.get("appendonly") == "no":
        found.append(
            "broker: appendonly is off; when it dies it forgets what is queued, and the "
            "dispatcher has to send it again (redis-cli config set appendonly yes)"
        )
    if config.get("maxmemory", "0") != "0" and config.get("maxmemory-policy") != "noeviction":
        found.append(
            "broker: maxmemory-policy may evict queued kernels "
            "(redis-cli config set maxmemory-policy noeviction)"
        )
    return found
