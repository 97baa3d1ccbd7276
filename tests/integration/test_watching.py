"""`hipopt status` beside real workers: what runs where, what waits, and what is in the way."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec

from hipopt.broker.app import connect
from hipopt.broker.arrival import rejected_key
from hipopt.settings import Settings
from hipopt.status import gather
from hipopt.worker import child_environ
from tests.integration.conftest import ROOT, Processes, kernels, send, wait_for
from tests.integration.test_pipeline import runs

STATUS = [sys.executable, "-m", "hipopt", "status"]


def send_words(settings: Settings, *words: str) -> None:
    """A kernel for each word, by which the stand-in knows what to do."""
    send(settings, [kernels(n + 1, word)[n] for n, word in enumerate(words)])


def test_the_broker_alone_tells_what_runs(settings: Settings, processes: Processes) -> None:
    """Without the log: every worker with host, device, slots and kernels; queues; the collector."""
    worker = processes.worker(settings)
    send_words(settings, "until_told", "until_told", "until_told")
    wait_for(lambda: len(runs(settings)) == 2, "two are in work", 60)
    with connect(settings) as client:
        client.set("hipopt.collector", "head, process 4711")
        client.lpush(rejected_key("hipopt"), "x", "y")
    status = gather(msgspec.structs.replace(settings, log=None))
    assert (status.done, status.log) == (None, None)
    assert status.broker is not None
    (found,) = status.broker.workers
    assert found.name.startswith("hipopt-cpu-")
    assert (found.host, found.device, found.slots) == (socket.gethostname(), "cpu", 2)
    assert sorted((k.id, k.name, k.shard) for k in found.running) == [
        ("0", "k0", 0),
        ("1", "k1", 0),
    ]
    assert (status.broker.waiting, status.broker.held) == (1, 2)
    assert status.broker.rejected == 2
    assert status.broker.collector == "head, process 4711"
    (processes.folder / "go").touch()
    wait_for(lambda: len(runs(settings)) == 3, "the last is in work")
    wait_for(lambda: gather(settings).broker.held == 0, "all are done")  # type: ignore[union-attr]
    worker.send_signal(signal.SIGTERM)
    worker.wait(20)


def test_troubles_are_told(settings: Settings, processes: Processes) -> None:
    """A model that is down and a sick device stand at the broker, with their words and a count."""
    processes.worker(settings)
    send_words(settings, "model_down", "device_sick")

    def noted() -> dict[str, int]:
        broker = gather(settings).broker
        return {trouble.kind: trouble.count for trouble in broker.troubles} if broker else {}

    wait_for(lambda: noted().get("model_unavailable", 0) > 1 and "device" in noted(), "both", 60)
    broker = gather(settings).broker
    assert broker is not None
    words = {trouble.kind: trouble.message for trouble in broker.troubles}
    assert words["device"] == "GPU 0 has fallen off the bus"
    assert all(trouble.worker.startswith("hipopt-cpu-") for trouble in broker.troubles)


def test_watching_ends_with_ctrl_c(settings: Settings, tmp_path: Path) -> None:
    """`--watch` goes on until Ctrl-C, which is no failure; a line a look with `--json`."""
    environ = child_environ(settings) | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*STATUS, "--watch", "0.5", "--json"], env=environ, cwd=tmp_path, stdout=subprocess.PIPE
    ) as watching:
        assert watching.stdout is not None
        looks = [json.loads(watching.stdout.readline()) for _ in range(2)]
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 0
    assert looks[0]["at"] < looks[1]["at"]


def test_a_terminal_is_redrawn(settings: Settings, tmp_path: Path) -> None:
    """On a terminal the picture is drawn over the one before; elsewhere no control codes appear."""
    environ = child_environ(settings) | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*STATUS, "--watch", "0.5"], env=environ, cwd=tmp_path, stdout=theirs
    ) as watching:
        os.close(theirs)
        seen = b""
        while seen.count(b"none answers") < 2:
            seen += os.read(ours, 4096)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 0
    os.close(ours)
    assert b"\x1b[1A" in seen  # up a line, to draw over it
    plain = subprocess.run(STATUS, env=environ, cwd=tmp_path, capture_output=True, check=False)
    assert b"none answers" in plain.stdout
    assert b"\x1b" not in plain.stdout
