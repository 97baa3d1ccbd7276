"""What waits at the broker: how much in each queue, and which kernels.

The set of shard queues lives in Redis under `NAMESPACE.queues`. Dispatchers add to it, workers
read it every few seconds: so a worker that was given nothing but a broker URL, before or after a
dispatch of any number of shards, ends up serving all of them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterator
from typing import Any

import msgspec
import redis

from hipopt.messages import result_queue, result_task_id

_PAGE = 200
"""Messages looked at in one command: a few megabytes at most."""


class _Headers(msgspec.Struct, frozen=True):
    id: str | None = None


class _Properties(msgspec.Struct, frozen=True):
    body_encoding: str | None = None


class _Message(msgspec.Struct):
    """A message as kombu stores it in a list."""

    headers: _Headers = _Headers()
    body: Any = None
    properties: _Properties = _Properties()


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
    """Messages that some worker holds."""
    count: Any = client.hlen(_held_key(namespace))
    return int(count)


def on_their_way(
    client: redis.Redis,
    namespace: str,
    queues: Collection[str],
    on_page: Callable[[], None] = lambda: None,
) -> frozenset[str]:
    """Tasks that wait in a shard queue, that a worker holds, or whose result waits to be logged.

    A message may move while we look, and be missed: look twice. What workers hold is read first,
    the queues second, and what they hold once more, so that a task is missed only while it is in
    nobody's list, between two commands of a worker. Results are read after tasks, since the one
    becomes the other.

    Args:
        client: of the broker.
        namespace: of the run.
        queues: the shard queues to look into.
        on_page: called now and then, for what must not wait for the end.
    """
    results = result_queue(namespace)
    found: set[str | None] = set()
    found.update(_held(client, namespace))
    for queue in (*queues, results):
        for number, message in enumerate(_waiting(client, queue)):
            found.add(_result_of(message, namespace) if queue == results else message.headers.id)
            if number % _PAGE == 0:
                on_page()
    found.update(_held(client, namespace))
    return frozenset(i for i in found if i)


def _result_of(message: _Message, namespace: str) -> str | None:
    """The task that the message is the result of; None: it is no result."""
    body = message.body
    try:
        raw = base64.b64decode(body) if message.properties.body_encoding == "base64" else body
        return result_task_id(namespace, raw if isinstance(raw, bytes) else str(raw).encode())
    except (ValueError, TypeError):  # not ours: the collector sets it aside
        return None


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


def _held(client: redis.Redis, namespace: str) -> Iterator[str | None]:
    """The tasks that a worker holds."""
    for _, raw in client.hscan_iter(_held_key(namespace), count=_PAGE):
        try:
            yield _unacked.decode(raw)[0].headers.id
        except ValueError:
            continue


def _held_key(namespace: str) -> str:
    """Kombu's hash of what is unacknowledged, as `app.transport_options` names it."""
    return f"{namespace}.unacked"
