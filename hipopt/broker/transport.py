"""kombu's Redis transport, with a gate: what is no message of ours is set aside as it arrives.

Guarantee: nothing that lies in a queue ends the process that reads it, is run, or comes back for
ever. It is kept, cut to `KEPT_BYTES`, in the Redis list `NAMESPACE.rejected`, of which the newest
`KEPT_MESSAGES` stay, and a warning says so. Price: a message is parsed twice. Scope: kombu 5.7,
of which this overrides private methods, so it is pinned and this is tested; a kill between taking
such a message and keeping it loses it, as it may lose any message (the dispatcher sees to ours).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import redis
from celery.app.amqp import AMQP
from kombu.connection import Connection
from kombu.transport import redis as kombu_redis
from kombu.utils.json import loads

from hipopt.broker.arrival import objection, rejected_key
from hipopt.broker.url import masked

logger = logging.getLogger(__name__)

KEPT_MESSAGES = 1000
KEPT_BYTES = 16 * 1024
"""Of each message that is set aside."""
_REPLIES = ".pidbox"
"""So end the queues of replies to control commands; all others that are consumed take tasks."""
_ODD = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError, LookupError)
"""What reading something of an unexpected form raises."""


class _GatedRedis(redis.Redis):
    """A client that shows what BRPOP brings to a gate, which may keep it back."""

    def __init__(self, *, gate: Callable[[Any], Any], **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self._gate = gate

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:  # noqa: ANN401
        """The answer; None, as if nothing had come, where the gate kept it."""
        answer = super().parse_response(connection, command_name, **options)
        return self._gate(answer) if command_name == "BRPOP" else answer


class _QoS(kombu_redis.QoS):
    """Gives back what consumers held too long; sets aside what can't be given back."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:  # noqa: ANN401
        """The message waits in its queue again, or is set aside."""
        try:
            super().restore_by_tag(tag, client, leftmost)
        except _ODD as error:
            with self.channel.conn_or_acquire(client) as connected:
                raw = connected.hget(self.unacked_key, tag) or b""
                self.channel.set_aside(self.unacked_key, raw, f"{type(error).__name__}: {error}")
                self._remove_from_indices(tag).execute()


class _Channel(kombu_redis.Channel):
    QoS = _QoS
    from_transport_options: Any = (*kombu_redis.Channel.from_transport_options, "namespace")
    namespace = "hipopt"

    def _get_client(self) -> Any:  # noqa: ANN401
        super()._get_client()  # checks versions
        return partial(_GatedRedis, gate=self._gate)

    def _gate(self, answer: Any) -> Any:  # noqa: ANN401
        """The answer of BRPOP, if kombu and Celery can read it; None if it was set aside."""
        if not answer:
            return answer
        queue, raw = answer
        name = queue.decode(errors="replace").split(self.sep)[0]
        reason = objection(raw, is_task=not name.endswith(_REPLIES))
        if reason is None:
            try:
                loads(raw)  # it knows more than JSON, and fails in more ways
            except _ODD as error:
                reason = str(error)
        if reason is None:
            return answer
        self.set_aside(name, raw, reason)
        return None

    def set_aside(self, place: str, raw: bytes, reason: str) -> None:
        """The message is in the list of those that were rejected, and that was said."""
        key = rejected_key(self.namespace)
        entry = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "found_in": place,
            "reason": reason[:500],
            "bytes": len(raw),
            "message": raw[:KEPT_BYTES].decode(errors="backslashreplace"),
        }
        logger.warning(
            "in %s lay %d bytes that are no message of hipopt, kept in the Redis list %s: %s",
            place, len(raw), key, reason[:500],
        )  # fmt: skip
        with self.conn_or_acquire() as client, client.pipeline() as pipe:
            pipe.lpush(key, msgspec.json.encode(entry))
            pipe.ltrim(key, 0, KEPT_MESSAGES - 1)
            pipe.execute()

    def _receive_one(self, c: Any) -> Any:  # noqa: ANN401
        """A broadcast (control command or event); one that can't be read is passed over."""
        try:
            return super()._receive_one(c)
        except _ODD as error:
            logger.warning("a broadcast can't be read and is passed over: %r", error)
            return None


class Transport(kombu_redis.Transport):
    """Redis, gated."""

    Channel = _Channel


class _Connection(Connection):
    """A connection to Redis through the gate, whatever the URL's scheme."""

    def get_transport_cls(self) -> type[Transport]:
        """Ours."""
        return Transport

    def info(self) -> dict[str, Any]:
        """What a worker tells of its connection when it is asked; a socket's URL is masked."""
        found: dict[str, Any] = super().info()
        return found | {"hostname": masked(str(found["hostname"]))}


class GatedAMQP(AMQP):
    """For `Celery(amqp=...)`: every connection of the app goes through the gate."""

    Connection = _Connection
    BrokerConnection = _Connection
