"""The command lines of a worker and of Flower, and the environment that carries their settings.

hipopt never imports `tasks`: it starts them by name, in a process of their own.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Sequence

from hipopt.settings import Settings

CELERY_APP = "tasks.app"
FLOWER_COLUMNS = "args,uuid,state,received,started,runtime,worker"
"""Of the list of tasks; the arguments are shown as the kernel's id, name and shard."""


def worker_argv(
    settings: Settings, queues: Sequence[str] = (), *, loglevel: str = "INFO"
) -> list[str]:
    """The command that becomes this node's worker.

    SIGINT lets it finish what it runs; a second one, or SIGTERM, makes it put that back and end
    within seconds; after SIGKILL others take it over within `lease_s`.

    Args:
        settings: of the run; pass `child_environ(settings)` along.
        queues: shard queues to serve, and no others. None given: all there are and will be.
        loglevel: of Celery's log, on stderr.
    """
    concurrency = settings.concurrency or 2 * (os.cpu_count() or 1)
    name = f"{settings.namespace}-{secrets.token_hex(3)}@%h"
    chosen = ["--queues", ",".join(queues)] if queues else []
    return [
        *_celery(), "worker", "--pool", "prefork", "--concurrency", str(concurrency),
        "--hostname", name, "--loglevel", loglevel, "--without-mingle", "--without-gossip",
        *chosen,
    ]  # fmt: skip


def flower_argv(*, address: str = "127.0.0.1", port: int = 5555) -> list[str]:
    """The command that shows tasks and workers in a browser."""
    return [
        *_celery(), "flower", f"--address={address}", f"--port={port}",
        f"--tasks_columns={FLOWER_COLUMNS}",
    ]  # fmt: skip


def child_environ(settings: Settings) -> dict[str, str]:
    """The environment of a worker or Flower: ours, and the settings.

    SIGTERM, as systemd and containers send it, puts running kernels back into their queues.
    """
    return {**os.environ, **settings.to_environ(), "REMAP_SIGTERM": "SIGQUIT"}


def _celery() -> list[str]:
    return [sys.executable, "-m", "celery", "-A", CELERY_APP]
