"""Redis, collector, dispatcher and workers: processes that are started again when they are gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from hipopt.broker.embedded import find_server
from hipopt.settings import Settings
from hipopt.worker import child_environ, worker_argv

ROOT = Path(__file__).parents[2]
STANDIN = "tests.chaos.standin"
RESTART_S = 0.5
"""A process that ended is started again after this long, as systemd would."""


class Role:
    """One process of the site, and whichever took its place."""

    def __init__(
        self, name: str, argv: list[str], env: dict[str, str], folder: Path, *, ends: bool = False
    ) -> None:
        self.name = name
        self.starts = 0
        self.done = False
        self._argv = argv
        self._env = env
        self._output = folder / f"{name}.txt"
        self._ends = ends
        self._gone_at: float | None = None
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        with self._output.open("ab") as output:
            return subprocess.Popen(
                self._argv, env=self._env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output,
            )  # fmt: skip

    def look_after(self) -> None:
        """It runs again soon if it ended; one whose work ends stays ended once it ended well."""
        if self.done or self.process.poll() is None:
            return
        if self._ends and self.process.returncode == 0:
            self.done = True
            return
        now = time.monotonic()
        self._gone_at = self._gone_at or now
        if now - self._gone_at > RESTART_S:
            self._gone_at = None
            self.process = self._start()

    def kill(self) -> bool:
        """Kill -9; False: it isn't running just now."""
        if self.process.poll() is not None:
            return False
        self.process.kill()
        return True

    def children(self) -> list[int]:
        """The processes below it; none while it isn't running."""
        pid = self.process.pid
        try:
            return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
        except OSError:
            return []

    def output(self) -> str:
        return self._output.read_text(errors="replace")


class Site:
    """All processes of one run, on a Redis with the append-only file on."""

    def __init__(
        self, folder: Path, kernels: int, *, workers: int = 2, concurrency: int = 3
    ) -> None:
        self.folder = folder
        self.kernels = kernels
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.settings = Settings(
            broker_url=f"redis://127.0.0.1:{port}/0", manifest=folder / "manifest.jsonl",
            log=folder / "results.jsonl", shards=4, lease_s=2, concurrency=concurrency,
        )  # fmt: skip
        self._write_manifest()
        env = child_environ(self.settings) | {
            "PYTHONPATH": str(ROOT),
            "CHAOS_FOLDER": str(folder),
        }
        (folder / "redis").mkdir()
        redis = [
            str(find_server()), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
            "--dir", str(folder / "redis"), "--appendonly", "yes", "--appendfsync", "everysec",
        ]  # fmt: skip
        hipopt = [sys.executable, "-m", "hipopt"]
        worker = [STANDIN if part == "tasks.app" else part for part in worker_argv(self.settings)]
        self.redis = Role("redis", redis, env, folder)
        self.collector = Role("collector", [*hipopt, "collect"], env, folder)
        self.workers = [Role(f"worker-{k}", worker, env, folder) for k in range(workers)]
        self.dispatcher = Role("dispatcher", [*hipopt, "dispatch"], env, folder, ends=True)
        self.roles = [self.redis, self.collector, *self.workers, self.dispatcher]

    def _write_manifest(self) -> None:
        assert self.settings.manifest is not None
        rows = ({"id": i, "name": f"k{i}", "code_body": "{}"} for i in range(self.kernels))
        self.settings.manifest.write_bytes(b"\n".join(map(msgspec.json.encode, rows)) + b"\n")

    def look_after(self) -> None:
        for role in self.roles:
            role.look_after()

    def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Everything is looked after until the condition holds; False: it doesn't in time."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.look_after()
            time.sleep(0.05)
        return True

    def logged(self) -> int:
        """Rows in the log."""
        assert self.settings.log is not None
        try:
            return self.settings.log.read_bytes().count(b"\n")
        except OSError:
            return 0

    def output(self) -> str:
        return "\n".join(f"--- {role.name}\n{role.output()[-3000:]}" for role in self.roles)

    def end(self) -> None:
        """Nothing of it runs."""
        for role in reversed(self.roles):
            for pid in role.children():
                _kill(pid)
            role.process.kill()
            role.process.wait()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
