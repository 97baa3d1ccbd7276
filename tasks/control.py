"""What a worker does at the word of whoever can write to the broker: little.

Celery's control commands need no password of their own. Of them stay those that ask, that Flower
and `hipopt status` live on, and a worker's stop; none that imports modules, serves other queues,
drops or kills tasks, or changes the pool.
"""

from __future__ import annotations

from celery.worker.control import Panel

KEPT = frozenset(
    {
        "ping", "stats", "active", "active_queues", "registered", "scheduled", "reserved",
        "revoked", "conf", "clock", "query_task", "enable_events", "disable_events", "heartbeat",
        "shutdown", "dump_active", "dump_reserved", "dump_revoked", "dump_schedule", "dump_tasks",
    }
)  # fmt: skip


def keep_few() -> None:
    """Workers of this process know no other control command."""
    for name in set(Panel.data) - KEPT:
        del Panel.data[name]
