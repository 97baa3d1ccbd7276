"""The lease that makes one collector a namespace, whatever host it runs on: a key at the broker.

Guarantee: its value names the holder and is new with every acquisition; `resultqueue` takes
nothing off the queue unless it still stands there, so a collector that was thought dead and comes
back acknowledges nothing. A holder that was killed on this host is replaced at once, one on another
host when its lease has run out. Price: a command every quarter of the lease, from a thread, so that
a slow disk lets no lease run out. Scope: one Redis. A Redis that forgot the key is told it again.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import redis
from redis.exceptions import RedisError

from hipopt.broker.app import connect
from hipopt.broker.owned import RELEASE, RENEW
from hipopt.errors import HeldElsewhere
from hipopt.records import Record
from hipopt.settings import Settings

logger = logging.getLogger(__name__)

MAX_LEASE_S = 30.0
"""A restart on another host waits so long at most for a collector that was killed."""
_POLL_S = 0.1
_RENEWAL_S = 0.1
"""A lease that ends so much later than it was to end was renewed: its holder lives."""

_TAKE = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[3] then return {held, redis.call('PTTL', KEYS[1])} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {}
"""


class Holder(Record, frozen=True, kw_only=True):
    """Who collects the results of a namespace: the value of the lease's key, as JSON."""

    pid: int
    started: str
    """When the process started, in the kernel's clock ticks: tells it from a later one."""
    host: str
    machine: str
    """Boot and process namespace: where both are the same, `pid` means the same."""
    log: str
    since: str
    """UTC, ISO 8601."""
    token: str
    """Of this acquisition."""

    @property
    def gone(self) -> bool:
        """Whether the process is known to have ended. False where that can't be told from here."""
        here = bool(self.machine) and self.machine == _machine()
        return here and _started(self.pid) != self.started

    def describe(self) -> str:
        """Half a sentence for a person."""
        return f"process {self.pid} on {self.host} (into {self.log}, since {self.since})"


def lease_key(namespace: str) -> str:
    """Where the lease of a namespace's collector stands."""
    return f"{namespace}.collector"


def holder(client: redis.Redis, namespace: str) -> Holder | None:
    """Who collects now; None: nobody does, or none that this version can read."""
    raw: Any = client.get(lease_key(namespace))
    return _read(raw)


class CollectorLease:
    """The right to collect the results of a namespace, once `hold` has returned."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.value = b""
        """What stands at the broker while the lease is held; empty before."""
        self._settings = settings
        self._key = lease_key(settings.namespace)
        self._log = log
        self._lease_ms = round(1000 * min(settings.lease_s, MAX_LEASE_S))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="collector lease", daemon=True)

    def hold(self, client: redis.Redis, stop: threading.Event) -> bool:
        """The lease is held from now on, with a new value; False: `stop` was set before.

        Waits for the lease of a holder on another host to run out, and says so once.

        Raises:
            HeldElsewhere: the holder is alive, or has taken over from us.
            redis.exceptions.RedisError: the broker is away.
        """
        fresh, dead, waiting = self._fresh_value(), b"", None
        while not stop.is_set():
            asked = time.monotonic()
            found: Any = client.eval(_TAKE, 1, self._key, fresh, self._lease_ms, dead)
            if not found:
                self._held(fresh)
                return True
            held, left_ms = found
            dead = self._judge(held, left_ms)
            if not dead:
                waiting = self._wait(held, left_ms, asked, waiting)
                stop.wait(_POLL_S)
        return False

    def release(self) -> None:
        """The lease is free, unless the broker is away: then it runs out."""
        self._over.set()
        if not self._thread.is_alive():
            return
        self._thread.join()
        try:
            with connect(self._settings, timeout_s=2.0) as client:
                client.eval(RELEASE, 1, self._key, self.value)
        except (RedisError, OSError) as error:
            logger.debug("collector's lease not released: %s", error)

    def _held(self, value: bytes) -> None:
        self.value = value
        if not self._thread.is_alive():
            self._thread.start()

    def _fresh_value(self) -> bytes:
        return msgspec.json.encode(
            Holder(
                pid=os.getpid(),
                started=_started(os.getpid()),
                host=socket.gethostname(),
                machine=_machine(),
                log=str(self._log),
                since=datetime.now(UTC).isoformat(timespec="seconds"),
                token=uuid.uuid4().hex,
            )
        )

    def _judge(self, held: bytes, left_ms: int) -> bytes:
        """The value to replace: that of a dead process of this host; empty: none is."""
        found = _read(held)
        if held == self.value or (found and found.gone):
            return held
        if self.value:
            raise HeldElsewhere(
                f"{self._who(held)} has taken over the results of namespace "
                f"'{self._settings.namespace}' while this collector was cut off from the broker. "
                "Nothing was acknowledged since; what is in its log stays there"
            )
        if found and found.machine == _machine():
            raise self._refusal(held, left_ms)
        return b""

    def _wait(self, held: bytes, left_ms: int, asked: float, before: _Seen | None) -> _Seen:
        """What was seen of a holder on another host, whose lease either ends or is renewed."""
        if before is None or before.value != held:
            logger.warning(
                "%s holds the results of namespace '%s'; if it is dead, its lease ends in %.0f s: "
                "waiting for that",
                self._who(held), self._settings.namespace, left_ms / 1000,
            )  # fmt: skip
            return _Seen(held, time.monotonic() + left_ms / 1000)
        if asked + left_ms / 1000 > before.ends + _RENEWAL_S:
            raise self._refusal(held, left_ms)
        return before

    def _refusal(self, held: bytes, left_ms: int) -> HeldElsewhere:
        return HeldElsewhere(
            f"{self._who(held)} is collecting the results of namespace "
            f"'{self._settings.namespace}', and one namespace has one collector. Let that one go "
            f"on, or stop it first (killed, its lease ends within {left_ms / 1000:.0f} s); another "
            "run on the same broker needs a --namespace of its own"
        )

    def _who(self, held: bytes) -> str:
        found = _read(held)
        return found.describe() if found else f"an unknown process (key {self._key})"

    def _keep(self) -> None:
        while not self._over.wait(self._lease_ms / 4000):
            try:
                with connect(self._settings, timeout_s=5.0) as client:
                    client.eval(RENEW, 1, self._key, self.value, self._lease_ms)
            except (RedisError, OSError) as error:
                logger.debug("collector's lease not renewed: %s", error)  # the collector says it


class _Seen(msgspec.Struct, frozen=True):
    """A holder's value, and when its lease was to end, at the latest, by our clock."""

    value: bytes
    ends: float


def _read(raw: bytes | None) -> Holder | None:
    try:
        return msgspec.json.decode(raw or b"", type=Holder)
    except ValueError:
        return None


def _machine() -> str:
    """Empty where the system doesn't tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Empty for a process that has ended (a zombie too), or where the system doesn't tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
