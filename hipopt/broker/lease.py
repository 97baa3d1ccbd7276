"""Leases: a consumer that is alive keeps its messages, however long it works on them.

Guarantee: while a consumer calls `renew` at least every `renew_interval_s`, Redis gives none of
its unacknowledged messages to another; once it stops, they are given away within the timeout.
Price: one small command per held message and renewal, and the use of two private attributes of
kombu (`QoS._delivered`, and the layout of `unacked_index`), so kombu is pinned and this is tested.
Scope: kombu's Redis transport. A consumer that stands still for longer than the timeout (a
stopped process, a broken network) loses its messages, and they run twice; the log keeps one row.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection
from typing import Any

import redis
from redis.exceptions import RedisError

from hipopt.broker.app import connect
from hipopt.settings import Settings

logger = logging.getLogger(__name__)


def renew_interval_s(settings: Settings) -> float:
    """How often a consumer renews: three renewals may fail before a message is given away."""
    return settings.lease_s / 4


def renew(channel: Any, client: redis.Redis) -> int:  # noqa: ANN401 (a kombu Redis channel)
    """The channel's unacknowledged messages count as just received; returns their number.

    Only entries that still stand in the index are touched: one that was given away stays away.
    May be called from any thread.
    """
    tags = list(channel.qos._delivered)
    if tags:
        now = time.time()
        client.zadd(channel.unacked_index_key, dict.fromkeys(tags, now), xx=True)
    return len(tags)


def share_client(channel: Any) -> None:  # noqa: ANN401 (a kombu Redis channel)
    """The channel's commands go through one Redis client.

    Kombu makes a client for each command, which costs more than the command does.
    """
    make = channel._create_client
    client = make()

    def shared(asynchronous: bool = False) -> Any:  # noqa: ANN401 (kombu's signature)
        return make(asynchronous=True) if asynchronous else client

    channel._create_client = shared


def hand_over(lost: Any, channel: Any, running: Collection[str]) -> None:  # noqa: ANN401 (kombu Redis channels)
    """The messages of tasks that still run are renewed and acknowledged through `channel`.

    Redis knows a message by its delivery tag, whatever connection it came through. A message whose
    task is no longer running was not acknowledged before the connection was lost: its lease runs
    out, and it is run again.

    Args:
        lost: a channel whose connection was lost.
        channel: a channel of the new connection.
        running: ids of the tasks that run.
    """
    for tag, message in list(lost.qos._delivered.items()):
        message.channel = channel
        if message.headers.get("id") in running:
            channel.qos._delivered[tag] = message
    lost.qos._delivered.clear()


class Keeper:
    """A thread that renews the messages of one channel for as long as this process lives.

    A thread, so that neither a busy event loop nor an orderly shutdown, which waits for running
    tasks with its loop at rest, lets a lease run out.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._thread: threading.Thread | None = None
        self.channel: Any = None
        """The channel to renew; replace it after every reconnection."""

    def start(self) -> None:
        """The thread runs; further calls change nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(renew_interval_s(self._settings))
            try:
                with connect(self._settings, timeout_s=5.0) as client:
                    renew(self.channel, client)
            except (RedisError, OSError) as error:
                logger.debug("leases not renewed: %s", error)  # who consumes says it is away
