"""The job spread out: every part a process of its own, started as its README tells."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hipopt.broker.app import make_app
from hipopt.flowerdoor import kept_login
from hipopt.settings import Settings
from tests.integration.conftest import ROOT, RedisServer, wait_for

EXAMPLES = ROOT / "examples"
REPLIES = EXAMPLES / "replies.jsonl"
QUICK = (101, 104, 109, 111, 114, 122, 124, 126, 131, 132)
"""Kernels of the example that are judged in a second or two; successes and failures."""
STOP_S = 20.0
"""SIGTERM has to have its effect within this."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def expected(ids: tuple[int, ...]) -> dict[int, str]:
    """What the log says of each kernel, told by the last of its recorded replies.

    A correct kernel that is no faster is a failure of kind `no_speedup`, so only its status counts.
    """
    last = {r["id"]: r["expect"] for r in map(json.loads, REPLIES.read_text().splitlines())}
    return {i: last[i] for i in ids}


def running(pid: int) -> bool:
    """The process is there and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def family(pid: int) -> set[int]:
    """The process and all below it."""
    found = {pid}
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        for task in tasks:
            for child in (task / "children").read_text().split():
                found |= family(int(child))
    except OSError:
        pass
    return found


class Site:
    """A folder with manifest, log and `hipopt.toml`, and the processes that work for it."""

    def __init__(self, folder: Path, redis: RedisServer, ids: tuple[int, ...], cache: Path) -> None:
        self.folder = folder
        self.ids = ids
        self.log = folder / "results.jsonl"
        self.settings = Settings(
            broker_url=redis.url, manifest=folder / "manifest.json", log=self.log
        )
        rows = [
            row | {"hip_file": str(EXAMPLES / row["hip_file"])}
            for row in json.loads((EXAMPLES / "manifest.json").read_text())
            if row["id"] in ids
        ]
        assert [row["id"] for row in rows] == list(ids)
        (folder / "manifest.json").write_text(json.dumps(rows))
        (folder / "hipopt.toml").write_text(
            'manifest = "manifest.json"\nlog = "results.jsonl"\n'
            f'broker_url = "{redis.url}"\ncache_dir = "{cache}"\n'
        )
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HIPOPT_", "FLOWER_"))}
        self.environ = kept | {"PYTHONPATH": str(ROOT)}
        self._all: list[subprocess.Popen[bytes]] = []

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`hipopt ARGUMENTS`, to its end."""
        return subprocess.run(
            self._argv(arguments), cwd=self.folder, env=self.environ, capture_output=True,
            text=True, timeout=200, check=False,
        )  # fmt: skip

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`hipopt ARGUMENTS` in the background."""
        with (self.folder / f"{arguments[0]}-{len(self._all)}.txt").open("wb") as output:
            process = subprocess.Popen(
                self._argv(arguments), cwd=self.folder, env=self.environ, stdout=output,
                stderr=output, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self._all.append(process)
        return process

    def start_worker(self) -> subprocess.Popen[bytes]:
        """A worker for two kernels at a time, with the recorded replies."""
        return self.start("worker", "--concurrency", "2", "--replay", str(REPLIES))

    def start_all(self) -> list[subprocess.Popen[bytes]]:
        """A collector and two workers, all of which answer."""
        processes = [self.start("collect"), self.start_worker(), self.start_worker()]
        control = make_app(self.settings).control
        wait_for(lambda: len(control.ping(timeout=0.5)) == 2, "two workers answer", 60)
        return processes

    def status(self) -> dict[str, Any]:
        """What `hipopt status --json` says."""
        done = self.command("status", "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def rows(self) -> list[dict[str, Any]]:
        """The log, each of its lines being JSON and whole."""
        text = self.log.read_text() if self.log.exists() else ""
        assert not text or text.endswith("\n")
        return [json.loads(line) for line in text.splitlines()]

    def output(self) -> str:
        return "\n".join(p.read_text(errors="replace") for p in self.folder.glob("*.txt"))

    def stop(self, processes: list[subprocess.Popen[bytes]]) -> None:
        """All get SIGTERM, and soon neither they nor anything that they started is there."""
        families = {pid for process in processes for pid in family(process.pid)}
        for process in processes:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for process in processes:
            process.wait(max(0.1, deadline - time.monotonic()))
        wait_for(lambda: not any(map(running, families)), "nothing is left behind", STOP_S)

    def end(self) -> None:
        for process in self._all:
            process.kill()
            process.wait()

    def _argv(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "hipopt", *arguments]


@pytest.fixture(scope="module")
def code_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(params=[QUICK], ids=["ten"])
def site(
    redis_binary: Path, tmp_path: Path, code_cache: Path, request: pytest.FixtureRequest
) -> Iterator[Site]:
    (tmp_path / "redis").mkdir()
    server = RedisServer(redis_binary, tmp_path / "redis", "--appendonly", "yes")
    found = Site(tmp_path, server, request.param, code_cache)
    yield found
    found.end()
    server.kill()


few = pytest.mark.parametrize("site", [QUICK[:6]], ids=["six"], indirect=True)


def assert_as_expected(site: Site) -> None:
    """Every kernel of the manifest is in the log once, with the outcome of its last reply.

    A busy machine may leave it undecided that a correct candidate is faster, but not of all.
    """
    rows = site.rows()
    assert Counter(row["id"] for row in rows) == Counter(site.ids), site.output()
    for row in rows:
        outcome = expected(site.ids)[row["id"]]
        said = row["failure_kind"] or row["status"]
        undecided = {"success", "no_speedup"}
        wanted = {"faster": undecided, "correct": {"no_speedup"}}.get(outcome, {outcome})
        assert said in wanted, row
    if "faster" in expected(site.ids).values():
        assert any(row["status"] == "success" for row in rows)


def shown_tasks(port: int, login: str) -> dict[str, dict[str, Any]]:
    """The tasks in Flower's API; none while it doesn't answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/tasks")
    request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            found: dict[str, dict[str, Any]] = json.load(answer)
            return found
    except (ConnectionError, urllib.error.URLError):
        return {}


def serves(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_run_spread_over_processes(site: Site, code_cache: Path) -> None:
    """Collector, two workers and dispatcher settle every kernel once, and Flower shows each.

    The outcomes are those of the recorded replies, `hipopt status` agrees with the log, another
    dispatch sends nothing, and SIGTERM leaves nothing behind.
    """
    port = free_port()
    processes = [*site.start_all(), site.start("flower", "--port", str(port))]
    wait_for(lambda: serves(port), "Flower answers")
    login = kept_login(code_cache)
    dispatched = site.command("dispatch", "--shards", "8")
    assert dispatched.returncode == 0, dispatched.stderr + site.output()
    assert_as_expected(site)

    status = site.status()
    assert (status["done"], status["total"]) == (len(site.ids), len(site.ids))
    assert status["succeeded"] == sum(row["status"] == "success" for row in site.rows())
    assert len(status["shards"]) == 8
    assert sum(shard["done"] for shard in status["shards"]) == len(site.ids)

    wait_for(lambda: len(shown_tasks(port, login)) == len(site.ids), "Flower shows every task")
    shown = sorted(task["args"] for task in shown_tasks(port, login).values())
    assert shown == sorted(
        f"(id={row['id']}, name={row['name']!r}, shard={row['shard']})" for row in site.rows()
    )

    workers = {task["worker"] for task in shown_tasks(port, login).values()}
    assert workers <= {worker["name"] for worker in site.status()["broker"]["workers"]}
    assert all(name.startswith("hipopt-cpu-") for name in workers)
    assert all(name.endswith(f"@{socket.gethostname()}") for name in workers)

    before = site.log.read_bytes()
    again = site.command("dispatch", "--shards", "8")
    assert again.returncode == 0, again.stderr
    assert f"0 of {len(site.ids)} kernels to do" in again.stderr
    wait_for(lambda: site.status()["broker"]["held"] == 0, "nothing is in work")
    assert not any(site.status()["broker"]["queues"].values())
    assert len(shown_tasks(port, login)) == len(site.ids)
    assert site.log.read_bytes() == before
    site.stop(processes)


@few
def test_a_killed_worker_costs_nothing(site: Site) -> None:
    """SIGKILL of a worker amid its kernels: another does them, and all are in the log once."""
    site.environ["HIPOPT_LEASE_S"] = "4"
    collector, first, second = site.start_all()
    inspect = make_app(site.settings).control.inspect(timeout=5.0, limit=2)
    names = [name for name, stats in inspect.stats().items() if stats["pid"] == first.pid]
    dispatch = site.start("dispatch", "--shards", "8")

    def at_work() -> list[object]:
        active = inspect.active() or {}
        return [task for name in names for task in active.get(name, [])]

    wait_for(at_work, "the first worker has a kernel in work")
    below = family(first.pid)
    assert len(site.rows()) < len(site.ids)
    first.kill()
    first.wait()
    wait_for(lambda: not any(map(running, below)), "nothing of the killed worker is left")
    assert dispatch.wait(120) == 0, site.output()
    assert_as_expected(site)
    site.stop([collector, second])


@few
def test_a_stopped_worker_hands_its_kernels_back(site: Site) -> None:
    """SIGTERM of a worker amid its kernels ends it within seconds; the other does them.

    It needn't wait for the lease to run out.
    """
    collector, first, second = site.start_all()
    inspect = make_app(site.settings).control.inspect(timeout=5.0, limit=2)
    dispatch = site.start("dispatch", "--shards", "8")
    wait_for(lambda: sum(map(bool, (inspect.active() or {}).values())) == 2, "both are at work")
    site.stop([first])
    assert dispatch.wait(120) == 0, site.output()
    assert_as_expected(site)
    site.stop([collector, second])
