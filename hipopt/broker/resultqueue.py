"""The results that wait at the broker, as the one collector of a namespace reads them.

Guarantee: a result stays in its queue until `drop`, which the collector calls once the row is on
the disk; so a kill at any moment loses none, and there is nothing to be given back. Both commands
do nothing for a collector whose lease another has taken: that is checked in the same step.
Price: `drop` must name what it drops, as a broker that was restarted may hold something else by
then. Scope: the form in which kombu stores a message in a Redis list.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import msgspec
import redis

from hipopt.broker.collectlease import lease_key
from hipopt.messages import MessageError, result_queue

MAX_BYTES = 16 * 1024 * 1024
"""Results beyond this are left for the next `peek`; one that is larger comes alone."""

_PEEK = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return false end
local found, size = {}, 0
for i = 1, tonumber(ARGV[2]) do
  local message = redis.call('LINDEX', KEYS[1], -i)
  if not message then break end
  size = size + #message
  if i > 1 and size > tonumber(ARGV[3]) then break end
  found[i] = message
end
return found
"""
_DROP = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
local count = tonumber(ARGV[2])
if redis.call('LINDEX', KEYS[1], -count) ~= ARGV[3] then return 0 end
redis.call('LTRIM', KEYS[1], 0, -count - 1)
return 1
"""


class ResultQueue:
    """The result queue of a namespace, oldest message first."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self._client = client
        self._keys = (result_queue(namespace), lease_key(namespace))

    def peek(self, lease: bytes, count: int) -> list[bytes] | None:
        """The oldest messages, at most `count`, which stay where they are.

        None: the lease's value at the broker is not `lease`.
        """
        found: list[bytes] | None = self._eval(_PEEK, lease, count, MAX_BYTES)
        return found

    def drop(self, lease: bytes, messages: Sequence[bytes]) -> bool:
        """The messages, as `peek` gave them, are gone from the queue.

        False: nothing was dropped, as the lease or the queue is no longer what it was. What was
        to be dropped will be seen again, if it is still there.
        """
        # Producers add at the other end, so that if the last stands in its place, all do.
        return bool(self._eval(_DROP, lease, len(messages), messages[-1]))

    def _eval(self, script: str, *args: bytes | int) -> Any:  # noqa: ANN401 (Redis's answer)
        return self._client.eval(script, 2, *self._keys, *args)


class _Properties(msgspec.Struct):
    body_encoding: str | None = None


class _Stored(msgspec.Struct):
    """A message as kombu stores it in a list."""

    body: str
    properties: _Properties


_stored = msgspec.json.Decoder(_Stored)


def body_of(message: bytes) -> bytes:
    """What the producer published.

    Raises:
        MessageError: this is no message of kombu's.
    """
    try:
        stored = _stored.decode(message)
        if stored.properties.body_encoding == "base64":
            return base64.b64decode(stored.body, validate=True)
        return stored.body.encode()
    except (ValueError, RecursionError) as error:
        raise MessageError(f"it was not published as a message: {error}") from None
