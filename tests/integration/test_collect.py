import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from celery import Celery

from hipopt import queues
from hipopt.broker import connect, make_app, publish_result
from hipopt.collect import Collected, Collector
from hipopt.errors import LogError
from hipopt.messages import Trouble, encode_row, encode_trouble
from hipopt.records import ResultRow
from hipopt.resultlog import ResultLog
from hipopt.settings import Settings
from tests.integration.conftest import wait_for


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    with make_app(settings) as app:
        yield app


@pytest.fixture
def log(settings: Settings) -> Iterator[ResultLog]:
    assert settings.log is not None
    with ResultLog(settings.log) as log:
        yield log


def row(kernel_id: int | str) -> bytes:
    return encode_row(ResultRow(id=kernel_id, status="success", name="k"))


def send(settings: Settings, app: Celery, *bodies: bytes) -> None:
    for body in bodies:
        publish_result(app, settings.namespace, body)


def collect(collector: Collector, rows: int) -> Collected:
    """Runs until the log holds that many rows."""
    stop = threading.Event()
    watchdog = threading.Timer(20, stop.set)
    watchdog.start()
    try:
        return collector.run(stop, until_rows=rows)
    finally:
        watchdog.cancel()


def test_what_is_no_result_is_set_aside(settings: Settings, app: Celery, log: ResultLog) -> None:
    """Garbage between results is kept, and neither stops nor loses a result.

    What is a message goes into a side file; what is none stays in a list at the broker.
    """
    garbage = [b"not json", b'{"schema": 99}', b"\xff\xfe", b'{"schema":1,"type":"row"}']
    send(settings, app, row(1), *garbage, row("1"), row(1))
    with connect(settings) as client:
        client.lpush("hipopt.results", "no message of kombu's", "{}", '{"body": 1}', "[]", "7")
    send(settings, app, row(2))
    totals = collect(Collector(settings, app, log), 3)
    assert (totals.written, totals.duplicates, totals.rejected) == (3, 1, 4)
    aside = log.path.with_name("results.jsonl.rejected.jsonl").read_bytes().splitlines()
    assert aside[:2] == garbage[:2]
    assert len(log.path.read_bytes().splitlines()) == 3
    with connect(settings) as client:
        assert queues.depths(client, ["hipopt.results"]) == {"hipopt.results": 0}
        assert queues.held_count(client, "hipopt") == 0
        assert client.llen("hipopt.rejected") == 5


def test_trouble_is_told_and_not_logged(settings: Settings, app: Celery, log: ResultLog) -> None:
    """Trouble reaches the callback, and the log has only rows."""
    told: list[Trouble] = []
    written: list[object] = []
    trouble = Trouble(kind="device", message="gone", worker="w@h")
    send(settings, app, encode_trouble(trouble), row(1))
    collector = Collector(settings, app, log, on_trouble=told.append, on_rows=written.extend)
    assert collect(collector, 1).troubles == 1
    assert (told, written) == ([trouble], [1])


def test_rows_are_acknowledged_only_when_durable(
    settings: Settings, app: Celery, log: ResultLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that can't be written ends the collector; every result waits at the broker still."""
    send(settings, app, *map(row, range(5)))

    def fail(_: object) -> None:
        raise LogError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(log, "append", fail)
        with pytest.raises(LogError, match="disk full"):
            collect(Collector(settings, app, log), 5)
    assert collect(Collector(settings, app, log), 5).written == 5


def test_a_batch_is_one_write(settings: Settings, app: Celery, log: ResultLog) -> None:
    """Results that wait are written together: an fsync is shared."""
    batches: list[int] = []
    send(settings, app, *map(row, range(250)))
    collector = Collector(settings, app, log, on_rows=lambda ids: batches.append(len(ids)))
    assert collect(collector, 250).written == 250
    assert len(batches) < 50
    assert [msgspec.json.decode(x)["id"] for x in log.path.read_bytes().splitlines()] == list(
        range(250)
    )


def test_it_stops_when_told(settings: Settings, app: Celery, log: ResultLog) -> None:
    """A stop is noticed although nothing arrives."""
    stop = threading.Event()
    thread = threading.Thread(target=Collector(settings, app, log).run, args=(stop,))
    thread.start()
    wait_for(thread.is_alive, "it runs")
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def test_the_side_file_lies_beside_the_log(settings: Settings, app: Celery, tmp_path: Path) -> None:
    """A side file that can't be written is an error of the log, and nothing is acknowledged."""
    with ResultLog(tmp_path / "log.jsonl") as log:
        (tmp_path / "log.jsonl.rejected.jsonl").mkdir()
        send(settings, app, b"garbage")
        with pytest.raises(LogError, match="rejected"):
            collect(Collector(settings, app, log), 1)
    with connect(settings) as client:
        wait_for(
            lambda: queues.depths(client, ["hipopt.results"])["hipopt.results"] == 1, "put back"
        )
