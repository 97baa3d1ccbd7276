"""The last troubles on our side (a model that is down, a sick device), kept at the broker.

Workers note them here beside reporting them to the collector, so that `hipopt status` can say why
nothing moves on any host. Price: one small command per trouble. Scope: the last `KEPT`, for
`KEPT_S`; a broker that is away notes none, and nothing waits for it.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import msgspec
import redis
from redis.exceptions import RedisError

from hipopt.broker.app import connect
from hipopt.messages import Trouble
from hipopt.records import Record
from hipopt.settings import Settings

logger = logging.getLogger(__name__)

KEPT = 100
KEPT_S = 7 * 24 * 3600
MAX_CHARS = 500
"""Of a message, as it is noted."""


class Noted(Record, frozen=True, kw_only=True):
    """A trouble, and how often it was noted with the same words."""

    kind: str
    message: str
    worker: str
    """The last that had it."""
    first_at: str
    """UTC, ISO 8601."""
    last_at: str
    count: int


class _Entry(msgspec.Struct):
    at: str
    kind: str
    message: str
    worker: str


_decoder = msgspec.json.Decoder(_Entry)


def note(settings: Settings, trouble: Trouble) -> None:
    """The trouble is among the last ones at the broker, if the broker is there."""
    entry = _Entry(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        kind=trouble.kind,
        message=trouble.message[:MAX_CHARS],
        worker=trouble.worker,
    )
    key = _key(settings.namespace)
    try:
        with connect(settings, timeout_s=3.0) as client, client.pipeline() as pipe:
            pipe.lpush(key, msgspec.json.encode(entry))
            pipe.ltrim(key, 0, KEPT - 1)
            pipe.expire(key, KEPT_S)
            pipe.execute()
    except (RedisError, OSError) as error:
        logger.debug("trouble not noted: %s", error)


def noted(client: redis.Redis, namespace: str) -> tuple[Noted, ...]:
    """The last troubles, the latest first; those of equal kind and words are one."""
    raw: Any = client.lrange(_key(namespace), 0, KEPT - 1)
    found: dict[tuple[str, str], Noted] = {}
    for line in raw:
        try:
            entry = _decoder.decode(line)
        except ValueError:  # not ours
            continue
        latest = found.get((entry.kind, entry.message))
        found[entry.kind, entry.message] = Noted(
            kind=entry.kind,
            message=entry.message,
            worker=latest.worker if latest else entry.worker,
            first_at=entry.at,
            last_at=latest.last_at if latest else entry.at,
            count=(latest.count if latest else 0) + 1,
        )
    return tuple(found.values())


def _key(namespace: str) -> str:
    return f"{namespace}.troubles"
