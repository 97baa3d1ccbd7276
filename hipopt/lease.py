"""Leases: a consumer that is alive keeps its messages, however long it works on them.

Guarantee: while a consumer calls `renew` at least every `renew_interval_s`, Redis gives none of
its unacknowledged messages to another; once it stops, they are given away within the timeout.
Price: one small command per held message and renewal, and the use of two private attributes of
kombu (`QoS._delivered`, and the layout of `unacked_index`), so kombu is pinned and this is tested.
Scope: kombu's Redis transport. A consumer that stands still for longer than the timeout (a
stopped process, a broken network) loses its messages, and they run twice; the log keeps one row.
"""

from __future__ import annotations

import time
from typing import Any

from hipopt.settings import Settings


def renew_interval_s(settings: Settings) -> float:
    """How often a consumer renews: three renewals may fail before a message is given away."""
    return settings.lease_s / 4


def renew(channel: Any) -> int:  # noqa: ANN401 (a kombu Redis channel)
    """The channel's unacknowledged messages count as just received; returns their number.

    Only entries that still stand in the index are touched: one that was given away stays away.
    """
    tags = list(channel.qos._delivered)
    if tags:
        now = time.time()
        with channel.conn_or_acquire() as client:
            client.zadd(channel.unacked_index_key, dict.fromkeys(tags, now), xx=True)
    return len(tags)
