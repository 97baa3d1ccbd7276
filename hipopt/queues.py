"""What waits at the broker: how much in each queue, and which kernels.

The set of shard queues lives in Redis under `NAMESPACE.queues`. Dispatchers add to it, workers
read it every few seconds: so a worker that was given nothing but a broker URL, before or after a
dispatch of any number of shards, ends up serving all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import msgspec
import redis

from hipopt.messages import result_queue
from hipopt.records import Record

_PAGE = 200
"""Messages looked at in one command: a few megabytes at most."""


class Backlog(Record, frozen=True, kw_only=True):
    """All that is on its way between dispatcher and collector."""

    task_ids: frozenset[str]
    """Tasks that wait in a shard queue, or that some worker holds."""
    results: int
    """Results that wait for the collector, or that it holds."""


class _Headers(msgspec.Struct):
    id: str | None = None


class _Message(msgspec.Struct):
    """A message as kombu stores it in a list."""

    headers: _Headers


_queued = msgspec.json.Decoder(_Message)
_unacked: msgspec.json.Decoder[tuple[_Message, str, str]] = msgspec.json.Decoder(
    tuple[_Message, str, str]
)


def registry_key(namespace: str) -> str:
    """The Redis set that holds the names of the shard queues in use."""
    return f"{namespace}.queues"


def register(client: redis.Redis, namespace: str, queues: Collection[str]) -> None:
    """Every worker of the namespace serves these queues within seconds."""
    client.sadd(registry_key(namespace), *queues)


def registered(client: redis.Redis, namespace: str) -> list[str]:
    """The shard queues in use, in order."""
    found: Any = client.smembers(registry_key(namespace))
    return sorted(name.decode() for name in found)


def depths(client: redis.Redis, queues: Collection[str]) -> dict[str, int]:
    """Messages that wait in each queue, those that a consumer holds left out."""
    with client.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.llen(queue)
        return dict(zip(queues, pipe.execute(), strict=True))


def held_count(client: redis.Redis, namespace: str) -> int:
    """Messages that some worker or collector holds."""
    count: Any = client.hlen(_held_key(namespace))
    return int(count)


def backlog(client: redis.Redis, namespace: str, queues: Collection[str]) -> Backlog:
    """What is on its way. A message may move while we look, and be missed: look twice.

    The held messages are read first and the queues second and the held ones once more, so that
    a task is missed only while it is in nobody's list, between two commands of a consumer.
    """
    task_ids: set[str] = set()
    results = 0
    for message, key in _held(client, namespace):
        results += key == result_queue(namespace)
        task_ids.add(message.headers.id or "")
    for queue in queues:
        task_ids.update(message.headers.id or "" for message in _waiting(client, queue))
    task_ids.update(message.headers.id or "" for message, _ in _held(client, namespace))
    results += depths(client, [result_queue(namespace)])[result_queue(namespace)]
    return Backlog(task_ids=frozenset(task_ids - {""}), results=results)


def _waiting(client: redis.Redis, queue: str) -> Iterator[_Message]:
    """From the end that producers add to, so that what comes or goes meanwhile is not missed."""
    start = 0
    while True:
        page: Any = client.lrange(queue, start, start + _PAGE - 1)
        for raw in page:
            try:
                yield _queued.decode(raw)
            except ValueError:  # not ours; nobody's business here
                continue
        if len(page) < _PAGE:
            return
        start += _PAGE


def _held(client: redis.Redis, namespace: str) -> Iterator[tuple[_Message, str]]:
    """Messages that a consumer holds, each with the queue that it came from."""
    for _, raw in client.hscan_iter(_held_key(namespace), count=_PAGE):
        try:
            message, _, key = _unacked.decode(raw)
        except ValueError:
            continue
        yield message, key


def _held_key(namespace: str) -> str:
    """Kombu's hash of what is unacknowledged, as `broker.transport_options` names it."""
    return f"{namespace}.unacked"
