"""One collector a namespace: who holds the lease, who waits, and who gives way."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import redis
from msgspec.structs import replace

from hipopt.broker.app import connect, make_app, publish_result
from hipopt.broker.collectlease import CollectorLease, Holder, holder, lease_key
from hipopt.broker.resultqueue import ResultQueue
from hipopt.collect import Collector
from hipopt.errors import HeldElsewhere, HipoptError
from hipopt.log.writer import ResultLog
from hipopt.messages import encode_row
from hipopt.records import ResultRow
from hipopt.settings import Settings
from tests.integration.conftest import Processes, RedisServer, wait_for

KEY = lease_key("hipopt")
QUEUE = "hipopt.results"
ELSEWHERE = Holder(
    pid=12,
    started="1",
    host="node-a",
    machine="another",
    log="/data/other.jsonl",
    since="2026-01-01T00:00:00+00:00",
    token="t",
)


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with connect(settings) as client:
        yield client


def row(kernel_id: int) -> bytes:
    return encode_row(ResultRow(id=kernel_id, status="success", name="k"))


def send(settings: Settings, *ids: int) -> None:
    with make_app(settings) as app:
        for kernel_id in ids:
            publish_result(app, settings.namespace, row(kernel_id))


class Running:
    """A collector in a thread, with a log of its own."""

    def __init__(self, settings: Settings, log: ResultLog) -> None:
        self.log = log
        self.error: HipoptError | None = None
        self.stop = threading.Event()
        self._collector = Collector(settings, log)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._collector.run(self.stop)
        except HipoptError as error:
            self.error = error


@contextmanager
def running(settings: Settings, path: Path) -> Iterator[Running]:
    with ResultLog(path) as log:
        found = Running(settings, log)
        try:
            yield found
        finally:
            found.stop.set()
            found.thread.join(20)
            assert not found.thread.is_alive()


def held(client: redis.Redis) -> Callable[[], bool]:
    return lambda: holder(client, "hipopt") is not None


def test_a_second_collector_is_told_who_holds_the_namespace(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    """With a log of its own it is refused all the same; the first goes on, and leaves no trace."""
    with running(settings, tmp_path / "a.jsonl") as first:
        wait_for(held(client), "the lease is held")
        with ResultLog(tmp_path / "b.jsonl") as log:
            with pytest.raises(HeldElsewhere, match=r"process \d+ on .*a\.jsonl.* --namespace"):
                Collector(settings, log).run(threading.Event())
            other = replace(settings, namespace="other")
            Collector(other, log).run(threading.Event(), until_rows=0)
        send(settings, 1)
        wait_for(lambda: len(first.log) == 1, "the first goes on")
        assert first.error is None
    assert not client.exists(KEY)


def test_a_killed_collector_is_replaced_at_once(
    settings: Settings, client: redis.Redis, processes: Processes
) -> None:
    """After kill -9 on this host nobody waits for the lease, and nothing is lost."""
    settings = replace(settings, lease_s=600)
    first = processes.collector(settings)
    wait_for(held(client), "the first holds the lease")
    first.send_signal(signal.SIGKILL)
    first.wait()
    send(settings, 1, 2)
    before = holder(client, "hipopt")
    processes.collector(settings)
    wait_for(lambda: holder(client, "hipopt") != before, "the second holds it", 10)
    wait_for(lambda: client.llen(QUEUE) == 0, "it collects")
    assert settings.log is not None
    assert len(settings.log.read_bytes().splitlines()) == 2


def test_a_dead_holder_elsewhere_is_waited_out(
    settings: Settings, client: redis.Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A lease from another host that nobody renews runs out; that it is waited for is said once."""
    client.set(KEY, msgspec.json.encode(ELSEWHERE), px=1500)
    send(settings, 1)
    with caplog.at_level(logging.WARNING), running(settings, tmp_path / "a.jsonl") as found:
        wait_for(lambda: len(found.log) == 1, "it collects")
    said = [m for m in caplog.messages if "node-a" in m]
    assert len(said) == 1
    assert "process 12 on node-a (into /data/other.jsonl, since 2026-01-01" in said[0]
    assert "its lease ends in " in said[0]


def test_a_living_holder_elsewhere_is_respected(
    settings: Settings, client: redis.Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A lease that is renewed while it is waited for belongs to a collector that is alive."""
    client.set(KEY, msgspec.json.encode(ELSEWHERE), px=60_000)
    with running(settings, tmp_path / "a.jsonl") as found:
        wait_for(lambda: "node-a" in caplog.text, "it waits")
        client.pexpire(KEY, 90_000)
        wait_for(lambda: not found.thread.is_alive(), "it gives way")
        assert isinstance(found.error, HeldElsewhere)
        assert "process 12 on node-a" in str(found.error)
    assert holder(client, "hipopt") == ELSEWHERE


def test_one_that_was_replaced_acknowledges_nothing(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    """A collector that was cut off, and whose place is taken, stops and says who took it."""
    with running(settings, tmp_path / "a.jsonl") as found:
        wait_for(held(client), "the lease is held")
        client.set(KEY, msgspec.json.encode(ELSEWHERE), px=60_000)
        send(settings, 1)
        wait_for(lambda: not found.thread.is_alive(), "it stops")
        assert isinstance(found.error, HeldElsewhere)
        assert "process 12 on node-a" in str(found.error)
        assert "has taken over" in str(found.error)
    assert client.llen(QUEUE) == 1
    assert holder(client, "hipopt") == ELSEWHERE


def test_one_that_is_replaced_while_it_writes_drops_nothing(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    """Taken over between the write and the acknowledgement: the results stay for the other one."""
    send(settings, 1, 2)

    def replaced(_: object) -> None:
        client.set(KEY, msgspec.json.encode(ELSEWHERE), px=60_000)

    with (
        ResultLog(tmp_path / "a.jsonl") as log,
        pytest.raises(HeldElsewhere, match="has taken over"),
    ):
        Collector(settings, log, on_rows=replaced).run(threading.Event())
    assert client.llen(QUEUE) == 2


def test_a_broker_that_forgot_the_lease_is_told_again(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    """A Redis that lost its memory, with nobody else there, costs the collector nothing."""
    with running(settings, tmp_path / "a.jsonl") as found:
        wait_for(held(client), "the lease is held")
        first = holder(client, "hipopt")
        client.flushall()
        send(settings, 1)
        wait_for(lambda: len(found.log) == 1, "it collects")
        again = holder(client, "hipopt")
        assert first is not None
        assert again is not None
        assert again.token != first.token
    assert found.error is None


def test_a_slow_disk_lets_no_lease_run_out(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    """While one batch takes longer than the lease, the lease is renewed."""
    seen: list[int] = []

    def slow(_: object) -> None:
        renewals, left = 0, client.pttl(KEY)
        while renewals < 5 and left > 0:  # a quarter of the lease each
            before, left = left, client.pttl(KEY)
            renewals += left > before
        seen.append(renewals)

    send(settings, 1)
    short = replace(settings, lease_s=3)
    with ResultLog(tmp_path / "a.jsonl") as log:
        Collector(short, log, on_rows=slow).run(threading.Event(), until_rows=1)
    assert seen == [5]


def test_a_broker_that_is_away_is_waited_for(
    redis_binary: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed and started again, it is said once each, and collecting goes on."""
    server = RedisServer(redis_binary, tmp_path)
    settings = Settings(broker_url=server.url, lease_s=4)
    try:
        with running(settings, tmp_path / "a.jsonl") as found:
            send(settings, 1)
            wait_for(lambda: len(found.log) == 1, "it collects")
            with caplog.at_level(logging.WARNING):
                server.kill()
                wait_for(lambda: "is away" in caplog.text, "it notices")
                server.start()
                send(settings, 2)
                wait_for(lambda: len(found.log) == 2, "it collects again")
        assert [m.split(",")[0].split(" redis")[0] for m in caplog.messages] == [
            "broker",
            "broker is back",
        ]
    finally:
        server.kill()


def test_only_what_was_seen_is_dropped(settings: Settings, client: redis.Redis) -> None:
    """A queue that is no longer what it was loses nothing, nor does one whose lease is gone."""
    lease = CollectorLease(settings, Path("log.jsonl"))
    queue = ResultQueue(client, "hipopt")
    try:
        assert lease.hold(client, threading.Event())
        client.lpush(QUEUE, b"1", b"2", b"3")
        messages = queue.peek(lease.value, 2)
        assert messages == [b"1", b"2"]
        client.lpush(QUEUE, b"4")
        assert queue.peek(b"another's", 2) is None
        assert not queue.drop(b"another's", messages)
        assert queue.drop(lease.value, messages)
        assert not queue.drop(lease.value, messages)
        assert queue.peek(lease.value, 9) == [b"3", b"4"]
        assert queue.drop(lease.value, [b"3", b"4"])
        assert queue.peek(lease.value, 9) == []
    finally:
        lease.release()


def test_large_results_come_a_few_at_a_time(
    settings: Settings, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory of a collector is bounded by the bytes of a batch, and any single result fits."""
    monkeypatch.setattr("hipopt.broker.resultqueue.MAX_BYTES", 1000)
    lease = CollectorLease(settings, Path("log.jsonl"))
    try:
        assert lease.hold(client, threading.Event())
        client.lpush(QUEUE, b"a" * 5000, b"b" * 400, b"c" * 600, b"d")
        queue = ResultQueue(client, "hipopt")
        sizes = []
        while messages := queue.peek(lease.value, 100):
            sizes.append([len(m) for m in messages])
            assert queue.drop(lease.value, messages)
        assert sizes == [[5000], [400, 600], [1]]
    finally:
        lease.release()
