"""`hipopt run`: one command, any number of kills, every kernel once."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.records import Verdict
from tests.integration.examples import REPLIES, log_rows, write_manifest

QUICK = [103, 105, 109, 114, 117, 118, 119, 129, 131, 132]
"""Bundled kernels whose replies take no deadline to judge; one of them fails."""
CORRECT = [verdict for verdict in Verdict if verdict.correct]
"""On a noisy machine a faster candidate may be `inconclusive`: it is still the one that is kept."""


class Runner:
    """Starts `hipopt run` on one manifest and log, again and again."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.log = folder / "log.jsonl"
        self.manifest = write_manifest(folder / "manifest.json", QUICK)
        self._argv = [
            sys.executable, "-m", "hipopt", "run", str(self.manifest), "--log", str(self.log),
            "--replay", str(REPLIES), "--cache-dir", str(cache),
        ]  # fmt: skip

    def start(self) -> subprocess.Popen[str]:
        """The command, in a process group of its own."""
        return subprocess.Popen(
            self._argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip

    def finish(self) -> str:
        """What it prints on stdout when it runs to its end."""
        process = self.start()
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        return out


@pytest.fixture
def runner(
    tmp_path: Path, cpu_device: CpuDevice, tmp_path_factory: pytest.TempPathFactory
) -> Runner:
    cpu_device.describe()  # skips without a compiler
    return Runner(tmp_path, tmp_path_factory.getbasetemp() / "run-cache")


def descendants(pid: int) -> set[int]:
    """All processes below `pid`, as far as they can be seen now."""
    found: set[int] = set()
    queue = [pid]
    while queue:
        parent = queue.pop()
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                children = {int(child) for child in task.read_text().split()}
            except OSError:
                continue
            queue += children - found
            found |= children
    return found


def alive(pids: set[int]) -> set[int]:
    """Those of the processes that still run; a zombie does not."""

    def runs(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    return {pid for pid in pids if runs(pid)}


def wait_until_gone(pids: set[int], within_s: float = 20.0) -> None:
    """Returns when none of them runs; fails the test when some still do."""
    deadline = time.monotonic() + within_s
    while alive(pids):
        assert time.monotonic() < deadline, f"still running: {alive(pids)}"
        time.sleep(0.02)


def test_a_run_ends_with_a_row_for_every_kernel_and_repeats_nothing(runner: Runner) -> None:
    """Each id once, with the best candidate; a second run leaves the log as it is, to the byte."""
    first = runner.finish()
    rows = log_rows(runner.log)
    assert sorted(row["id"] for row in rows) == QUICK
    assert "10 kernels: 10 done, 0 left" in first
    assert "emulator" in first
    for row in rows:
        paired = [
            (a["outcome"] == "faster", a["speedup"])
            for a in row["attempts"]
            if a["outcome"] in CORRECT
        ]
        faster, speedup = max(paired, default=(False, None))
        assert (row["status"] == "success") == faster
        assert row["speedup"] == speedup
    before, changed_at = runner.log.read_bytes(), runner.log.stat().st_mtime_ns
    assert "Nothing is left to do" in runner.finish()
    assert runner.log.read_bytes() == before
    assert runner.log.stat().st_mtime_ns == changed_at


def test_killed_at_ten_random_moments_it_still_ends_right(runner: Runner) -> None:
    """`kill -9` of the whole run, ten times: no process stays, every id is there once."""
    seed = int(os.environ.get("HIPOPT_TEST_SEED", random.randrange(10**6)))
    print(f"HIPOPT_TEST_SEED={seed}")  # noqa: T201 (repeats a failure)
    moments = random.Random(seed)
    for _ in range(10):
        process = runner.start()
        pause = moments.uniform(0.3, 4.0)
        try:
            process.communicate(timeout=pause)
        except subprocess.TimeoutExpired:
            below = descendants(process.pid)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            wait_until_gone(below)
        for line in runner.log.read_bytes().splitlines() if runner.log.exists() else []:
            json.loads(line)
    runner.finish()
    assert sorted(row["id"] for row in log_rows(runner.log)) == QUICK


def test_ctrl_c_ends_it_kindly_and_says_how_to_go_on(runner: Runner) -> None:
    """Within seconds, without a traceback, with the command that goes on; nothing stays behind."""
    process = runner.start()
    assert process.stderr is not None
    seen = ""
    while not re.match(rf"\s*({'|'.join(map(str, QUICK))})\b", seen):  # a kernel's line
        seen = process.stderr.readline()
        assert seen, process.communicate()
    below = descendants(process.pid)
    started = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - started < 20
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "hipopt run" in out
    wait_until_gone(below)
    runner.finish()
    assert sorted(row["id"] for row in log_rows(runner.log)) == QUICK
