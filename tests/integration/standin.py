"""The real app with a stand-in for the optimiser: `code_body` tells it what to do with a kernel."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import tasks.optimize
from hipopt.errors import DeviceError, ModelUnavailable
from hipopt.records import KernelTask, ResultRow
from hipopt.settings import Settings

FOLDER = Path(os.environ["STANDIN_FOLDER"])


class StandIn:
    """Does as it is told, and notes every run."""

    def optimize(self, task: KernelTask) -> ResultRow:
        with (FOLDER / "runs.txt").open("a") as runs:
            runs.write(f"{task.id} {os.getpid()} {os.getppid()} {task.shard}\n")
        word, _, number = task.code_body.partition(" ")
        WORDS[word](float(number or 0))
        return ResultRow(id=task.id, status="success", name=task.name, opt_kernel=task.hip_source)


def model_down(_: float) -> None:
    if not (FOLDER / "model-is-up").exists():
        raise ModelUnavailable("the endpoint does not answer")


def device_sick(_: float) -> None:
    if not (FOLDER / "device-is-well").exists():
        raise DeviceError("GPU 0 has fallen off the bus")


def fault(_: float) -> None:
    raise ZeroDivisionError("a fault of ours")


def until_told(_: float) -> None:
    while not (FOLDER / "go").exists():
        time.sleep(0.02)


def deaf(_: float) -> None:
    """A process that drops the exception with which billiard ends it, as finalizers do."""
    while not (FOLDER / "go").exists():
        with suppress(SystemExit):
            until_told(0)


WORDS: dict[str, Callable[[float], object]] = {
    "quick": lambda _: None,
    "slow": time.sleep,
    "down": lambda _: os.kill(os.getppid(), signal.SIGKILL) or time.sleep(60),
    "until_told": until_told,
    "deaf": deaf,
    "poison": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "model_down": model_down,
    "device_sick": device_sick,
    "fault": fault,
}


def make(_: Settings) -> StandIn:
    return StandIn()


tasks.optimize.optimizer = make
tasks.optimize.PAUSES_S = (0.1,)

from tasks.app import app  # noqa: E402, F401 (Celery looks for it)
