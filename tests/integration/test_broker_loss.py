"""The broker gone, the network cut or stalled: everything waits, says so once, and goes on."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from hipopt.settings import Settings
from hipopt.worker import child_environ
from tests.integration.conftest import (
    ROOT,
    Processes,
    RedisServer,
    kernels,
    wait_for,
    write_manifest,
)
from tests.integration.proxy import Proxy
from tests.integration.test_pipeline import AWAY, assert_each_once, logged, runs, until_logged

KERNELS = 40
BACK = "broker is back"


class Line:
    """Collector, worker and dispatcher, each a process, that reach Redis through the proxy."""

    def __init__(
        self, settings: Settings, processes: Processes, server: RedisServer, proxy: Proxy
    ) -> None:
        self.server = server
        self.proxy = proxy
        self.settings = msgspec.structs.replace(settings, broker_url=proxy.url)
        self.processes = processes
        write_manifest(self.settings, kernels(KERNELS, "slow 0.1"))
        env = child_environ(self.settings) | {"PYTHONPATH": str(ROOT)}
        self.collector = processes.collector(self.settings)
        self.worker = processes.worker(self.settings)
        argv = [sys.executable, "-m", "hipopt", "dispatch"]
        self.dispatcher = processes.start(argv, env, "dispatcher")

    def said(self, words: str) -> int:
        """How often they said so, all together."""
        return self.processes.logs().count(words)

    def finish(self) -> None:
        """The dispatcher ends well, and none of the others had ended before."""
        try:
            code = self.dispatcher.wait(100)
        except subprocess.TimeoutExpired:
            pytest.fail(f"not done: {len(logged(self.settings))} rows\n{self.processes.logs()}")
        assert code == 0, self.processes.logs()
        assert self.collector.poll() is None, self.processes.logs()
        assert self.worker.poll() is None, self.processes.logs()
        assert_each_once(self.settings, KERNELS)


@pytest.fixture
def line(
    redis_binary: Path, settings: Settings, processes: Processes, tmp_path: Path
) -> Iterator[Line]:
    (tmp_path / "redis").mkdir()
    server = RedisServer(redis_binary, tmp_path / "redis", "--appendonly", "yes")
    proxy = Proxy(server.port)
    try:
        yield Line(settings, processes, server, proxy)
    finally:
        processes.end()
        proxy.close()
        server.kill()


def until_all_say_so(line: Line) -> None:
    wait_for(lambda: line.said(AWAY) >= 3, "collector, worker and dispatcher say so")


def kill_redis(line: Line) -> None:
    line.server.kill()
    until_all_say_so(line)
    line.server.start()


def outlast_the_lease(line: Line) -> None:
    """Redis is gone until every lease has run out, and the worker has tried a few times."""
    line.server.kill()
    until_all_say_so(line)
    back_at = time.monotonic() + 2 * line.settings.lease_s
    wait_for(lambda: time.monotonic() > back_at, "the leases have run out")
    line.server.start()


def restart_redis(line: Line) -> None:
    line.server.process.terminate()
    line.server.process.wait()
    until_all_say_so(line)
    line.server.start()


def cut(line: Line) -> None:
    line.proxy.set("cut")
    until_all_say_so(line)
    refused = line.proxy.refused
    wait_for(lambda: line.proxy.refused > refused + 5, "they try on")
    line.proxy.set("pass")


def drop_connections(line: Line) -> None:
    """Every connection is reset once, and the next ones are well."""
    line.proxy.set("cut")
    wait_for(lambda: line.proxy.idle, "all are reset")
    line.proxy.set("pass")


@pytest.mark.parametrize(
    "trouble", [kill_redis, outlast_the_lease, restart_redis, cut, drop_connections]
)
def test_a_broker_that_was_away_costs_nothing(line: Line, trouble: Callable[[Line], None]) -> None:
    """With the append-only file on: all is logged once, and nearly nothing is run twice.

    That the broker is away is said once by each, and by each that it is back.
    """
    until_logged(line.settings, 5)
    trouble(line)
    line.finish()
    assert line.said(AWAY) <= 3
    assert line.said(BACK) == line.said(AWAY), line.processes.logs()
    assert "Trying again" not in line.processes.logs()
    assert len(runs(line.settings)) <= KERNELS + 4  # what ran while the line was cut, at most


def test_a_stalled_network_is_outlived(line: Line) -> None:
    """Connections that stay open and carry nothing, for longer than the lease: then all goes on.

    The kernels that ran meanwhile may run again, since nobody could renew their leases.
    """
    until_logged(line.settings, 5)
    line.proxy.set("stall")
    before, on_at = line.proxy.refused, time.monotonic() + 2 * line.settings.lease_s
    wait_for(lambda: time.monotonic() > on_at, "the leases have run out")
    assert line.proxy.refused > before  # who renews leases connects anew, in vain
    line.proxy.set("pass")
    line.finish()
    assert len(runs(line.settings)) <= KERNELS + 8


def test_without_persistence_reconciliation_completes(
    redis_binary: Path, settings: Settings, processes: Processes, tmp_path: Path
) -> None:
    """Redis that forgets everything twice: the dispatcher, a process, sends again what was lost."""
    (tmp_path / "redis").mkdir()
    server = RedisServer(redis_binary, tmp_path / "redis")
    proxy = Proxy(server.port)
    try:
        line = Line(settings, processes, server, proxy)
        for count in (5, 20):
            until_logged(line.settings, count)
            server.kill()
            server.start()
        line.finish()
    finally:
        processes.end()
        proxy.close()
        server.kill()
