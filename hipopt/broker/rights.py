"""Whether Redis lets us do all that hipopt and kombu do, asked before anything relies on it.

Guarantee: nothing is changed. The commands are queued in a transaction, which is when Redis looks
at the rights of each, and then discarded. Price: three round trips. Scope: the rights, and those of
`deploy/users.acl`; a Redis that is full answers as ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import redis
from redis.exceptions import NoPermissionError, ResponseError

_ANSWER_S = 3.0
_NO_SCRIPT = "0" * 40

_COMMANDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("GET", ()), ("SET", ("x", "NX", "PX", "1")), ("DEL", ()), ("EXPIRE", ("1",)),
    ("PEXPIRE", ("1",)), ("PTTL", ()),
    ("LPUSH", ("x",)), ("RPUSH", ("x",)), ("BRPOP", ("1",)), ("LLEN", ()), ("LINDEX", ("0",)),
    ("LRANGE", ("0", "0")), ("LTRIM", ("0", "0")),
    ("HSET", ("x", "x")), ("HGET", ("x",)), ("HDEL", ("x",)), ("HLEN", ()), ("HSCAN", ("0",)),
    ("HINCRBY", ("x", "1")),
    ("ZADD", ("1", "x")), ("ZREM", ("x",)), ("ZREVRANGEBYSCORE", ("1", "0")),
    ("SADD", ("x",)), ("SREM", ("x",)), ("SMEMBERS", ()),
)  # fmt: skip
"""With a key, and what follows it."""


def try_rights(client: redis.Redis, namespace: str, db: int) -> None:
    """Redis lets us do what we must.

    Raises:
        redis.exceptions.NoPermissionError: it doesn't.
    """
    with redis.Redis(connection_pool=client.connection_pool, single_connection_client=True) as one:
        one.execute_command("MULTI")
        try:
            _queue(one.connection, list(_needed(namespace, db)))
        finally:
            with suppress(ResponseError):  # the connection was lost, and the transaction with it
                one.execute_command("DISCARD")
    with client.pubsub() as heard:
        heard.psubscribe(f"/{db}.{namespace}.pidbox.pidbox")
        heard.get_message(timeout=_ANSWER_S)


def _needed(namespace: str, db: int) -> Iterator[tuple[str, ...]]:
    for name, rest in _COMMANDS:
        yield (name, f"{namespace}.nothing", *rest)
    yield ("SADD", f"_kombu.binding.{namespace}", "x")
    yield ("LPUSH", f"x.reply.{namespace}.pidbox", "x")
    yield ("PUBLISH", f"/{db}.{namespace}.nothing", "")
    yield ("EVAL", "return 1", "0")
    yield ("EVALSHA", _NO_SCRIPT, "0")
    yield ("SCRIPT", "LOAD", "return 1")


def _queue(connection: Any, commands: list[tuple[str, ...]]) -> None:  # noqa: ANN401 (redis-py's)
    """Each was queued, or refused for another reason than a right; the first refusal is raised."""
    connection.send_packed_command(connection.pack_commands(commands))
    refused: NoPermissionError | None = None
    for _ in commands:
        try:
            connection.read_response()
        except NoPermissionError as error:
            refused = refused or error
        except ResponseError:  # Redis is full, or the like: not a matter of rights
            continue
    if refused is not None:
        raise refused
