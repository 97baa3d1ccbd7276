"""A node that leaves finishes what it runs or hands it back at once: nobody waits for a lease."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import msgspec
import pytest

from hipopt.broker import queues
from hipopt.broker.app import connect
from hipopt.settings import Settings
from tests.integration.conftest import Processes, kernels, send, wait_for
from tests.integration.test_pipeline import runs

SOON_S = 20.0
"""Far below the lease, far above what it takes."""


@pytest.fixture
def patient(settings: Settings, processes: Processes) -> Iterator[Settings]:
    """Settings with a lease that no test waits for, and two kernels that go on until told."""
    found = msgspec.structs.replace(settings, lease_s=600)
    send(found, kernels(2, "until_told"))
    yield found
    (processes.folder / "go").touch()


def busy(settings: Settings, processes: Processes) -> subprocess.Popen[bytes]:
    """A worker that has both kernels in work."""
    worker = processes.worker(settings)
    wait_for(lambda: len(runs(settings)) == 2, "both kernels are in work", 60)
    return worker


def broker_has(settings: Settings) -> tuple[int, int]:
    """Kernels that wait, and messages that somebody holds."""
    with connect(settings) as client:
        waiting = queues.depths(client, [f"hipopt.shard.{n:03d}" for n in range(3)])
        return sum(waiting.values()), queues.held_count(client, "hipopt")


def test_sigterm_hands_over_at_once(patient: Settings, processes: Processes) -> None:
    """SIGTERM ends a worker amid its kernels within seconds, and another runs them right away."""
    first = busy(patient, processes)
    second = processes.worker(patient)
    first.send_signal(signal.SIGTERM)
    first.wait(SOON_S)
    wait_for(lambda: len(runs(patient)) == 4, "the other has both in work", SOON_S)
    assert [run[2] for run in runs(patient)[2:]] == [str(second.pid)] * 2
    (processes.folder / "go").touch()
    wait_for(lambda: broker_has(patient) == (0, 0), "both are done", SOON_S)
    assert len(runs(patient)) == 4


def test_sigterm_ends_what_wont_listen(settings: Settings, processes: Processes) -> None:
    """A pool process that swallows the end of its work is gone as soon, and its kernel is back."""
    patient = msgspec.structs.replace(settings, lease_s=600)
    send(patient, kernels(2, "deaf"))
    first = busy(patient, processes)
    first.send_signal(signal.SIGTERM)
    first.wait(SOON_S)
    assert broker_has(patient) == (2, 0)
    (processes.folder / "go").touch()
    processes.worker(patient)
    wait_for(lambda: len(runs(patient)) == 4, "another worker has both in work", 60)
    wait_for(lambda: broker_has(patient) == (0, 0), "both are done", SOON_S)


def test_a_stop_within_the_rest_repeats_nothing(settings: Settings, processes: Processes) -> None:
    """A worker whose device is sick has sent its kernel on; stopping it sends no second copy."""
    patient = msgspec.structs.replace(settings, lease_s=600)
    send(patient, kernels(1, "device_sick"))
    sick = processes.worker(patient, pause_s=600)
    wait_for(lambda: len(runs(patient)) == 2, "each of its processes has tried the kernel", 60)
    wait_for(lambda: broker_has(patient) == (1, 2), "both rest, and the kernel waits", 60)
    sick.send_signal(signal.SIGTERM)
    sick.wait(SOON_S)
    assert broker_has(patient) == (3, 0)
    (processes.folder / "device-is-well").touch()
    processes.worker(patient)
    wait_for(lambda: len(runs(patient)) == 3, "the kernel runs on a device that is well", 60)
    wait_for(lambda: broker_has(patient) == (0, 0), "no message is left", SOON_S)
    assert len(runs(patient)) == 3


def test_sigint_finishes_what_runs(patient: Settings, processes: Processes) -> None:
    """SIGINT lets a worker finish what it has in work, and nothing of that runs again."""
    worker = busy(patient, processes)
    worker.send_signal(signal.SIGINT)
    wait_for(lambda: "Warm shutdown" in processes.logs(), "the worker heard it")
    assert worker.poll() is None
    (processes.folder / "go").touch()
    worker.wait(SOON_S)
    assert broker_has(patient) == (0, 0)
    assert len(runs(patient)) == 2


def test_a_second_sigint_hands_back(patient: Settings, processes: Processes) -> None:
    """A second SIGINT puts back what runs, and ends the worker within seconds."""
    worker = busy(patient, processes)
    worker.send_signal(signal.SIGINT)
    wait_for(lambda: "Warm shutdown" in processes.logs(), "the worker heard it")
    worker.send_signal(signal.SIGINT)
    worker.wait(SOON_S)
    assert broker_has(patient) == (2, 0)
