"""The turn to send: of all dispatchers of a namespace, one at a time looks and sends.

Guarantee: a message goes through `push` only while the turn is its sender's, checked by Redis in
the same step; and who took the turn can tell whether anybody else has sent since it last looked
or sent itself. A dispatcher that is killed or stands still loses its turn after `TURN_S`.
Price: one script call for each batch sent. Scope: what dispatchers send. A worker that puts a task
back holds that task meanwhile, so it needs no turn.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import redis

from hipopt.broker.owned import RELEASE, RENEW
from hipopt.errors import HipoptError
from hipopt.records import KernelId

TURN_S = 10.0
"""A turn that is not renewed ends after this long."""

_PUSH = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('pexpire', KEYS[1], ARGV[2])
redis.call('set', KEYS[2], ARGV[3])
for i = 4, #ARGV do redis.call('lpush', KEYS[3], ARGV[i]) end
return 1
"""


class TurnLost(HipoptError):
    """The turn ended before its holder was done; nothing was sent by the call that raises this."""

    unsent: tuple[KernelId, ...] = ()
    """Kernels that were to be sent and were not."""


class Turn:
    """One dispatcher's claim to the turn. Making it connects to nothing."""

    def __init__(self, client: redis.Redis, namespace: str, *, turn_s: float = TURN_S) -> None:
        self._client = client
        self._key = f"{namespace}.turn"
        self._last_key = f"{namespace}.last_sent"
        self._token = secrets.token_hex(8)
        self._ms = int(turn_s * 1000)
        self._count = 0
        self._seen: str | None = None
        self._push: Any = client.register_script(_PUSH)
        self._renew: Any = client.register_script(RENEW)
        self._end: Any = client.register_script(RELEASE)

    def take(self) -> bool:
        """Whether the turn is ours now; if not, another dispatcher has it."""
        return bool(self._client.set(self._key, self._token, nx=True, px=self._ms))

    def renew(self) -> None:
        """The turn lasts as long again from now.

        Raises:
            TurnLost: it had ended.
        """
        if not self._renew(keys=[self._key], args=[self._token, self._ms]):
            raise TurnLost("the turn to send ended")

    def end(self) -> None:
        """The turn is free, if it was ours."""
        self._end(keys=[self._key], args=[self._token])

    def last_sent(self) -> str | None:
        """What was sent last, by anybody, as a word that never returns; None: nothing yet."""
        found: Any = self._client.get(self._last_key)
        return found.decode() if found is not None else None

    def saw(self, last_sent: str | None) -> None:
        """All that was sent up to `last_sent` is accounted for."""
        self._seen = last_sent

    @property
    def alone(self) -> bool:
        """Whether nobody else has sent since we looked or sent last."""
        return self.last_sent() == self._seen

    def push(self, queue: str, messages: Sequence[bytes]) -> None:
        """The messages stand in the queue, the first of them next in line.

        Raises:
            TurnLost: the turn had ended; none of them was sent.
        """
        self._count += 1
        word = f"{self._token}.{self._count}"
        keys = [self._key, self._last_key, queue]
        if not self._push(keys=keys, args=[self._token, self._ms, word, *messages]):
            raise TurnLost("the turn to send ended")
        self._seen = word
