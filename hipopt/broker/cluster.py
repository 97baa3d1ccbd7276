"""What the broker holds and what the workers say of themselves.

Cheap on purpose: a handful of counts, and one question that all workers answer at once within
`ANSWER_S`. No message is read. A worker that finishes what it runs before it ends (SIGINT), or that
is cut off, doesn't answer; what it holds is counted all the same.
"""

from __future__ import annotations

import re
from typing import Any

import redis
from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from hipopt.broker import queues, troubles
from hipopt.broker.app import check_broker, connect, make_app
from hipopt.broker.arrival import rejected_count
from hipopt.broker.collectlease import holder, lease_key
from hipopt.broker.troubles import Noted
from hipopt.errors import BrokerError
from hipopt.messages import result_queue
from hipopt.records import Record
from hipopt.settings import Settings

ANSWER_S = 1.0
"""How long workers have to answer."""
QUESTION = "hipopt_status"
"""The control command that workers answer; see `tasks.panel`."""

_NAMED = re.compile(r"\(id=(.*), name='(.*)', shard=(\d+)\)", re.DOTALL)


class RunningKernel(Record, frozen=True, kw_only=True):
    """A kernel that a worker has in work."""

    id: str
    """As Python writes it: `7` and `'7'` are different kernels."""
    name: str
    shard: int | None
    seconds: float
    """Since the worker began with it."""


class WorkerStatus(Record, frozen=True, kw_only=True):
    """A worker that answered."""

    name: str
    host: str
    device: str
    slots: int
    """Pool processes: kernels in work at once."""
    up_s: float
    """Seconds since it was started."""
    arch: str | None = None
    """Of its GPUs; None: it has none."""
    out_of_service: tuple[str, ...] = ()
    """GPUs of its node that are not used, each with the reason."""
    running: tuple[RunningKernel, ...]
    """The one that has been in work longest comes first."""


class BrokerStatus(Record, frozen=True, kw_only=True):
    """What the broker holds now."""

    queues: dict[str, int]
    """Messages that wait, by queue; the last is the results'."""
    waiting: int
    """Kernels that wait in shard queues."""
    results: int
    """Results that wait for the collector; growing: none runs."""
    held: int
    """Messages that a worker works on, or held when it was lost."""
    rejected: int
    """Messages that were none of hipopt's and were set aside at the broker, see `arrival`."""
    collector: str | None
    """Who holds the collector's lease; None: nobody."""
    workers: tuple[WorkerStatus, ...]
    troubles: tuple[Noted, ...]
    """The last troubles on our side, the latest first."""


def ask(settings: Settings) -> BrokerStatus:
    """What broker and workers say.

    Raises:
        BrokerError: the broker can't be reached, or went away.
    """
    check_broker(settings)
    namespace = settings.namespace
    results = result_queue(namespace)
    try:
        with connect(settings, timeout_s=3.0) as client:
            depths = queues.depths(client, [*queues.registered(client, namespace), results])
            return BrokerStatus(
                queues=depths,
                waiting=sum(depths.values()) - depths[results],
                results=depths[results],
                held=queues.held_count(client, namespace),
                rejected=rejected_count(client, namespace),
                collector=_collector(client, namespace),
                workers=_workers(settings),
                troubles=troubles.noted(client, namespace),
            )
    except (RedisError, KombuError, OSError) as error:
        raise BrokerError(f"the broker went away while it was asked: {error}") from None


def _workers(settings: Settings) -> tuple[WorkerStatus, ...]:
    app: Celery
    with make_app(settings) as app:
        replies = app.control.broadcast(QUESTION, reply=True, timeout=ANSWER_S)
    answers = (answer for reply in replies for answer in reply.items())
    found = (_worker(name, said) for name, said in answers)
    return tuple(sorted((w for w in found if w is not None), key=lambda w: (w.host, w.name)))


def _worker(name: str, said: Any) -> WorkerStatus | None:  # noqa: ANN401 (off the wire)
    """The worker's answer; None: it is none of ours."""
    try:
        running = [_running(task) for task in said["running"]]
        return WorkerStatus(
            name=name,
            host=str(said["host"]),
            device=str(said["device"]),
            arch=None if said.get("arch") is None else str(said["arch"]),
            out_of_service=tuple(str(each) for each in said.get("out_of_service", ())),
            slots=int(said["slots"]),
            up_s=float(said["up_s"]),
            running=tuple(sorted(running, key=lambda kernel: -kernel.seconds)),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _running(task: Any) -> RunningKernel:  # noqa: ANN401 (off the wire)
    """The kernel, as the task's short arguments name it."""
    text = str(task["kernel"])
    match = _NAMED.fullmatch(text)
    seconds = float(task["seconds"])
    if match is None:
        return RunningKernel(id=text, name="", shard=None, seconds=seconds)
    return RunningKernel(id=match[1], name=match[2], shard=int(match[3]), seconds=seconds)


def _collector(client: redis.Redis, namespace: str) -> str | None:
    """The holder of the collector's lease; one of another version in its own words."""
    found = holder(client, namespace)
    if found is not None:
        return found.describe()
    raw: Any = client.get(lease_key(namespace))
    return None if raw is None else raw.decode(errors="replace")[:200]
