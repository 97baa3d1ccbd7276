"""What a worker says of itself when `hipopt status` asks all of them at once.

Small: kernels are named and not sent, so asking costs a worker less than a millisecond. Durations
rather than times of day: clocks of hosts differ.
"""

from __future__ import annotations

import socket
import time
from typing import Any

from celery.worker.control import inspect_command
from celery.worker.state import active_requests

from hipopt.broker.cluster import QUESTION
from hipopt.device.gpu.service import Service, directory_of
from hipopt.settings import Settings


def _out_of_service(settings: Settings) -> list[str]:
    """GPUs that this node's workers may not use, and why."""
    if settings.device == "cpu":
        return []
    absences = Service(directory_of(settings.slots_dir)).absences()
    return [f"{absence.gpu}: {absence.reason}" for absence in absences]


def install(settings: Settings) -> None:
    """Workers of this process answer the question."""
    started = time.time()

    @inspect_command(name=QUESTION)
    def answer(state: Any, **_: object) -> dict[str, Any]:  # noqa: ANN401 (Celery's)
        now = time.time()
        running = [
            {"task": r.id, "kernel": r.argsrepr, "seconds": now - (r.time_start or now)}
            for r in active_requests
        ]
        return {
            "host": socket.gethostname(),
            "device": settings.device,
            "arch": settings.arch,
            "out_of_service": _out_of_service(settings),
            "slots": state.consumer.pool.num_processes,
            "up_s": now - started,
            "running": running,
        }
