"""Several hosts: Redis, collector and dispatcher on one, workers on others, cables that fail."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import redis

from hipopt.broker.cluster import ask
from hipopt.settings import Settings
from hipopt.worker import child_environ, worker_argv
from tests.integration.conftest import (
    ROOT,
    STANDIN,
    Processes,
    kernels,
    wait_for,
    write_manifest,
)
from tests.integration.hosts import Hosts
from tests.integration.test_pipeline import assert_each_once, logged, runs

LEASE_S = 4


class Cluster:
    """A head with Redis and collector, and a stand-in worker on each node."""

    def __init__(
        self, hosts: Hosts, nodes: int, processes: Processes, binary: Path, folder: Path
    ) -> None:
        self.hosts = hosts
        self.processes = processes
        self.folder = folder
        socket = folder / "redis.sock"
        processes.start(
            [
                *hosts.on(0), str(binary), "--port", "6379", "--protected-mode", "no",
                "--bind", "127.0.0.1", *map(hosts.head_address, range(1, nodes + 1)),
                "--unixsocket", str(socket), "--dir", str(folder), "--save", "",
            ],
            {}, "redis",
        )  # fmt: skip
        self.settings = Settings(
            broker_url=f"redis+socket://{socket}",
            manifest=folder / "manifest.json",
            log=folder / "results.jsonl",
            shards=3,
            lease_s=LEASE_S,
            concurrency=2,
        )
        wait_for(socket.exists, "redis-server listens")
        wait_for(lambda: redis.Redis(unix_socket_path=str(socket)).ping(), "redis-server answers")
        self._on(0, [sys.executable, "-m", "tests.integration.collecting"], self.settings)
        self.workers = [self._worker(node) for node in range(1, nodes + 1)]
        wait_for(lambda: self.idle() == nodes, "the workers answer", 60)

    def idle(self) -> int:
        """How many workers answer the head and have nothing in work."""
        return sum(not worker.running for worker in ask(self.settings).workers)

    def dispatch(self) -> subprocess.Popen[bytes]:
        """A dispatch on the head, in the background."""
        return self._on(0, [sys.executable, "-m", "hipopt", "dispatch"], self.settings)

    def runs_of(self, node: int) -> list[int]:
        """Ids that the node's worker began to evaluate, oldest first."""
        pid = str(self.workers[node - 1].pid)
        return [int(run[0]) for run in runs(self.settings) if run[2] == pid]

    def _worker(self, node: int) -> subprocess.Popen[bytes]:
        url = f"redis://{self.hosts.head_address(node)}:6379/0"
        settings = msgspec.structs.replace(
            self.settings, broker_url=url, manifest=None, log=None, shards=1
        )
        argv = [STANDIN if a == "tasks.app" else a for a in worker_argv(settings)]
        return self._on(node, argv, settings, STANDIN_FOLDER=str(self.folder))

    def _on(
        self, host: int, argv: list[str], settings: Settings, **more: str
    ) -> subprocess.Popen[bytes]:
        environ = child_environ(settings) | {"PYTHONPATH": str(ROOT)} | more
        return self.processes.start([*self.hosts.on(host), *argv], environ, f"host-{host}")


@pytest.fixture
def cluster(redis_binary: Path, tmp_path: Path) -> Iterator[Cluster]:
    with Hosts(2) as hosts:
        processes = Processes(tmp_path)
        try:
            yield Cluster(hosts, 2, processes, redis_binary, tmp_path)
        finally:
            processes.end()


def test_a_node_that_is_cut_off_costs_what_it_held(cluster: Cluster) -> None:
    """A node is cut off for longer than the lease and comes back: every id is in the log once.

    The other node does all that is left meanwhile. Nothing is evaluated twice but what the lost
    node held, and once it is back it takes new work. Its worker was given a broker's URL alone.
    """
    write_manifest(cluster.settings, kernels(24, "slow 0.6"))
    dispatch = cluster.dispatch()
    wait_for(lambda: len(cluster.runs_of(1)) >= 3 and cluster.runs_of(2), "both nodes work")
    cluster.hosts.cut(1)
    back_at = time.monotonic() + 1.5 * LEASE_S
    held = set(cluster.runs_of(1)) - {row["id"] for row in logged(cluster.settings)}
    assert held
    assert dispatch.wait(60) == 0, cluster.processes.logs()
    wait_for(lambda: time.monotonic() > back_at, "the lease has run out")
    cluster.hosts.mend(1)
    assert_each_once(cluster.settings, 24)

    wait_for(lambda: cluster.idle() == 2, "the node is back, and rid of its results", 90)
    before = len(cluster.runs_of(1))
    write_manifest(cluster.settings, kernels(24, "slow 0.6") + kernels(28, "until_told")[24:])
    dispatch = cluster.dispatch()
    wait_for(lambda: len(cluster.runs_of(1)) == before + 2, "it takes its share", 60)
    (cluster.folder / "go").touch()
    assert dispatch.wait(60) == 0, cluster.processes.logs()
    assert_each_once(cluster.settings, 28)
    counts = Counter(int(run[0]) for run in runs(cluster.settings))
    again = {kernel for kernel, count in counts.items() if count > 1}
    assert again <= held
    assert max(counts.values()) <= 2
