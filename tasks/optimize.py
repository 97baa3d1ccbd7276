"""The one task: decode, optimise, publish, return.

Guarantee: the result is stored at the broker before the task returns, hence before its message is
acknowledged. Trouble on our side never becomes a result: the kernel goes back to the end of its
queue, after a pause in which this pool process takes no other work
(docs/decisions/trouble-is-waited-out-in-place.md). Where the device is in trouble it goes
back before that pause: another worker's may be well.
"""

from __future__ import annotations

import functools
import logging
import time
import traceback
from contextlib import suppress
from typing import Any, Protocol

from celery import Celery, Task
from celery.exceptions import Ignore
from kombu.exceptions import KombuError
from msgspec.structs import replace
from redis.exceptions import RedisError

from hipopt.broker import troubles
from hipopt.broker.app import WORKER_LOST_RETRIES, connect, publish_result
from hipopt.broker.send import send_back
from hipopt.broker.starts import Starts
from hipopt.errors import DeviceError, HipoptError, ModelRefused, ModelUnavailable
from hipopt.messages import (
    TASK_NAME,
    MessageError,
    TaskMessage,
    Trouble,
    TroubleKind,
    decode_task,
    encode_row,
    encode_trouble,
    shard_queue,
)
from hipopt.records import KernelId, KernelTask, ResultRow
from hipopt.settings import Settings
from tasks.lost import NODE_LOST_LIMIT, lost_row, nodes_lost

logger = logging.getLogger(__name__)

PAUSES_S = (15.0, 30.0, 60.0, 120.0, 300.0)
"""How long a pool process rests after trouble, by how often its kernel was put back before."""
MAX_INTERNAL = 3
"""How often a kernel that trips over a fault of hipopt itself is put back before it is left out."""


class Optimizing(Protocol):
    """What the task needs of `hipopt.optimize.Optimizer`."""

    def optimize(self, task: KernelTask) -> ResultRow:
        """The kernel's final result."""


@functools.cache
def optimizer(settings: Settings) -> Optimizing:
    """The pool process's own optimizer, made on first use: never before the fork."""
    from hipopt.optimize import Optimizer

    made: Optimizing = Optimizer.from_settings(settings)
    return made


def register(app: Celery, settings: Settings) -> None:
    """The app has the task."""

    @app.task(name=TASK_NAME, bind=True, max_retries=WORKER_LOST_RETRIES, default_retry_delay=1)
    def optimize_kernel(self: Task, message: Any) -> None:  # noqa: ANN401 (off the wire)
        try:
            decoded = decode_task(message)
        except MessageError as error:
            _report(self, settings, error, None)
            raise Ignore from None
        run(self, settings, decoded)


@functools.cache
def starts(settings: Settings) -> Starts:
    """The counts of starts, on the pool process's own connection."""
    return Starts(connect(settings, timeout_s=5.0), settings.namespace)


def run(task: Task, settings: Settings, message: TaskMessage) -> None:
    """The kernel's result is published, or the kernel is back in its queue (and Ignore raised)."""
    kernel = message.kernel
    count = starts(settings).begin(task.request.id)
    if nodes_lost(count, task.request.retries) >= NODE_LOST_LIMIT:
        reason = f"the worker's whole node died {NODE_LOST_LIMIT} times while it ran this kernel"
        row = lost_row(kernel, reason)
    else:
        row = _optimized(task, settings, message)
    worker = row.worker or task.request.hostname
    row = replace(row, worker=worker, shard=kernel.shard, retry=kernel.retry)
    publish_result(task.app, settings.namespace, encode_row(row))
    starts(settings).end(task.request.id)
    logger.info("kernel %r: %s", kernel.id, row.failure_kind or row.status)


def _optimized(task: Task, settings: Settings, message: TaskMessage) -> ResultRow:
    try:
        return optimizer(settings).optimize(message.kernel)
    except Exception as error:  # noqa: BLE001 (whatever it is, the kernel must go back)
        _put_back(task, settings, message, error)
        raise Ignore from None


def _put_back(task: Task, settings: Settings, message: TaskMessage, error: Exception) -> None:
    kernel, requeues = message.kernel, message.requeues
    kind = _report(task, settings, error, kernel.id)
    starts(settings).undo([task.request.id])
    if kind == "internal" and requeues >= MAX_INTERNAL:
        return
    _tell_flower(task, _words(error))
    pause_s = PAUSES_S[min(requeues, len(PAUSES_S) - 1)]
    if kind != "device":  # another worker's device may well be up
        time.sleep(pause_s)
    send_back(
        task.app, settings.namespace, kernel, queue=_queue_of(task, settings, kernel),
        requeues=requeues + 1, retries=task.request.retries,
    )  # fmt: skip
    if kind == "device":
        time.sleep(pause_s)


def _queue_of(task: Task, settings: Settings, kernel: KernelTask) -> str:
    """Where the kernel came from: its shard's queue for our arch, else for any worker."""
    came_from = (task.request.delivery_info or {}).get("routing_key")
    routed = shard_queue(settings.namespace, kernel.shard, settings.arch)
    return routed if came_from == routed else shard_queue(settings.namespace, kernel.shard)


def _tell_flower(task: Task, words: str) -> None:
    """Flower shows the kernel as one that is tried again, and why."""
    with suppress(KombuError, RedisError, OSError):  # events are no one's duty
        task.send_event("task-retried", retry=False, exception=words, traceback="")


def _report(
    task: Task, settings: Settings, error: Exception, kernel_id: KernelId | None
) -> TroubleKind:
    """The trouble is on its way to the collector."""
    trouble = Trouble(
        kind=_kind(error),
        message=_words(error),
        worker=task.request.hostname or "?",
        kernel_id=kernel_id,
    )
    troubles.note(settings, trouble)
    publish_result(task.app, settings.namespace, encode_trouble(trouble))
    logger.warning("kernel %r: %s: %s", kernel_id, trouble.kind, trouble.message)
    return trouble.kind


def _kind(error: Exception) -> TroubleKind:
    if isinstance(error, ModelUnavailable):
        return "model_unavailable"
    if isinstance(error, ModelRefused):
        return "model_refused"
    return "device" if isinstance(error, DeviceError) else "internal"


def _words(error: Exception) -> str:
    """What a person needs: a message of ours, or where a fault of ours happened."""
    if isinstance(error, HipoptError):
        return str(error)
    return "".join(traceback.format_exception(error)[-4:]).strip()[-2000:]
