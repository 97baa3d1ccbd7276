import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from celery import Celery

from hipopt.broker import queues
from hipopt.broker.app import connect, make_app, publish_result
from hipopt.collect import Collected, Collector
from hipopt.errors import LogError
from hipopt.log.writer import ResultLog
from hipopt.messages import Trouble, encode_row, encode_trouble
from hipopt.records import ResultRow
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
    """Garbage between results is kept in a side file, and neither stops nor loses a result."""
    garbage = [b"not json", b'{"schema": 99}', b"\xff\xfe", b'{"schema":1,"type":"row"}']
    send(settings, app, row(1), *garbage, row("1"), row(1))
    with connect(settings) as client:
        client.lpush("hipopt.results", "no message of kombu's", "{}", '{"body": 1}', "[]", "7")
    send(settings, app, row(2))
    totals = collect(Collector(settings, log), 3)
    assert (totals.written, totals.duplicates, totals.rejected) == (3, 1, 9)
    aside = log.path.with_name("results.jsonl.rejected.jsonl").read_bytes().splitlines()
    assert aside[:2] == garbage[:2]
    assert len(log.path.read_bytes().splitlines()) == 3
    with connect(settings) as client:
        assert queues.depths(client, ["hipopt.results"]) == {"hipopt.results": 0}
        assert queues.held_count(client, "hipopt") == 0


def test_trouble_is_told_and_not_logged(settings: Settings, app: Celery, log: ResultLog) -> None:
    """Trouble reaches the callback, and the log has only rows."""
    told: list[Trouble] = []
    written: list[object] = []
    trouble = Trouble(kind="device", message="gone", worker="w@h")
    send(settings, app, encode_trouble(trouble), row(1))
    collector = Collector(settings, log, on_trouble=told.append, on_rows=written.extend)
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
            collect(Collector(settings, log), 5)
    assert collect(Collector(settings, log), 5).written == 5


def test_a_batch_is_one_write(settings: Settings, app: Celery, log: ResultLog) -> None:
    """Results that wait are written together: an fsync is shared."""
    batches: list[int] = []
    send(settings, app, *map(row, range(250)))
    collector = Collector(settings, log, on_rows=lambda ids: batches.append(len(ids)))
    assert collect(collector, 250).written == 250
    assert len(batches) < 50
    assert [msgspec.json.decode(x)["id"] for x in log.path.read_bytes().splitlines()] == list(
        range(250)
    )


def test_it_stops_when_told(settings: Settings, log: ResultLog) -> None:
    """A stop is noticed although nothing arrives."""
    stop = threading.Event()
    thread = threading.Thread(target=Collector(settings, log).run, args=(stop,))
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
            collect(Collector(settings, log), 1)
    with connect(settings) as client:
        wait_for(
            lambda: queues.depths(client, ["hipopt.results"])["hipopt.results"] == 1, "put back"
        )


def waiting(settings: Settings) -> int:
    with connect(settings) as client:
        return queues.depths(client, ["hipopt.results"])["hipopt.results"]


def test_a_full_disk_stops_it_and_loses_nothing(
    settings: Settings, app: Celery, small_disk: Path
) -> None:
    """Earlier rows stay, results wait at the broker, and with room it goes on where it stopped."""
    path, ballast = small_disk / "log.jsonl", small_disk / "ballast"
    large = [
        encode_row(ResultRow(id=i, status="success", name="k", opt_kernel="x" * 6000))
        for i in range(1, 8)
    ]
    with ResultLog(path) as log:
        send(settings, app, row(0))
        assert collect(Collector(settings, log), 1).written == 1
        ballast.write_bytes(bytes(32 << 10))
        send(settings, app, *large)
        with pytest.raises(LogError, match=r"No space left on device\. Nothing is lost"):
            collect(Collector(settings, log), 8)
    assert waiting(settings) == 7
    assert len(path.read_bytes().splitlines()) == 1
    ballast.unlink()
    with ResultLog(path) as log:
        assert log.notices == []
        assert collect(Collector(settings, log), 8).written == 7
    assert waiting(settings) == 0


def test_a_log_that_was_moved_away_stops_it(
    settings: Settings, app: Celery, log: ResultLog
) -> None:
    """What comes after the log lost its name is not acknowledged."""
    send(settings, app, row(1))
    assert collect(Collector(settings, log), 1).written == 1
    log.path.rename(log.path.with_name("elsewhere"))
    send(settings, app, row(2))
    with pytest.raises(LogError, match="moved, replaced or deleted"):
        collect(Collector(settings, log), 2)
    assert waiting(settings) == 1


def test_a_retry_is_logged_beside_the_row_it_supersedes(
    settings: Settings, app: Celery, log: ResultLog
) -> None:
    """The newer row is written; the older, delivered late, is a duplicate."""
    again = encode_row(ResultRow(id=1, status="success", name="k", retry=1))
    send(settings, app, row(1), again, row(1), row(2))
    totals = collect(Collector(settings, log), 2)
    assert (totals.written, totals.duplicates) == (3, 1)
    rows = [msgspec.json.decode(line) for line in log.path.read_bytes().splitlines()]
    assert [(r["id"], r["retry"]) for r in rows] == [(1, 0), (1, 1), (2, 0)]
    assert all(list(r)[-1] == "checksum" for r in rows)
