"""A worker that hands its kernels back ends within seconds, whatever its pool processes do.

Celery's cold shutdown asks those to end whose task it knows to have begun, and then waits for all.
One that had just been given its task is never asked; in one that was inside a finalizer Python
drops the exception that should have ended it. Either works on to the end of its kernel.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import Any

from celery import Celery
from celery.worker.consumer import Consumer

GRACE_S = 3.0
"""How long a pool process has for ending by itself: it removes its folders then."""


class PromptConsumer(Consumer):
    """Celery's consumer; its pool outlives a cold shutdown by `GRACE_S` at most."""

    def cancel_active_requests(self) -> None:
        """Running tasks are told to end, and are ended if they haven't by then."""
        super().cancel_active_requests()
        if self.pool is not None:
            late = threading.Timer(GRACE_S, _end, [self.pool._pool._pool])
            late.daemon = True
            late.start()


def _end(processes: list[Any]) -> None:
    """The processes of a pool that are still in its list are gone; they hold nothing to mend."""
    for process in list(processes):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def install(app: Celery) -> None:
    """Workers of this app stop so."""
    app.conf.worker_consumer = PromptConsumer
