"""What a durable record and a resume cost, each beside the plain way of doing it, in one run.

Collecting: rows from a real Redis into the log, fsynced before they are acknowledged, by hipopt's
collector and by a kombu consumer that writes, fsyncs and acknowledges one message after the other;
in turns, so that both meet the same machine. Resuming: which kernels a log of 40,000 rows says are
done, with every checksum verified, beside `json.loads` on every line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec

from kombu.entity import Queue
from kombu.messaging import Consumer

from hipopt.broker import make_app
from hipopt.collect import Collector
from hipopt.embedded import EmbeddedBroker
from hipopt.logline import seal
from hipopt.logreader import LogReader
from hipopt.messages import decode_result, encode_row, result_queue
from hipopt.records import ResultRow
from hipopt.resultlog import ResultLog
from hipopt.settings import Settings

P = ParamSpec("P")
KERNEL = "__global__ void k(float *y, const float *x, int n) {\n    int i = threadIdx.x;\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1000, help="results to collect, each way")
    parser.add_argument("--rows", type=int, default=40_000, help="rows of the log to resume")
    parser.add_argument("--row-kb", type=float, default=6.0, help="size of a row")
    parser.add_argument("--times", type=int, default=3, help="turns of each; the median counts")
    parser.add_argument("--folder", type=Path, help="where the logs are (default: a temporary one)")
    options = parser.parse_args()
    size = round(1000 * options.row_kb)
    with tempfile.TemporaryDirectory(prefix="hipopt-bench-", dir=options.folder) as scratch:
        report_collecting(Path(scratch), options.records, size, options.times)
        report_resuming(Path(scratch), options.rows, size, options.times)


def result(kernel_id: int, size: int) -> ResultRow:
    return ResultRow(
        id=kernel_id, status="failure", name="k", failure_kind="no_speedup",
        opt_kernel=(KERNEL * (1 + size // len(KERNEL)))[: size - 700],
    )  # fmt: skip


def report_collecting(scratch: Path, records: int, size: int, times: int) -> None:
    ours, plain = [], []
    with EmbeddedBroker() as broker:
        for turn in range(times):
            settings = Settings(broker_url=broker.url, namespace=f"turn{turn}")
            bodies = [encode_row(result(i, size)) for i in range(records)]
            publish(settings, bodies)
            log = scratch / f"{turn}.jsonl"
            ours.append(records / seconds(collect, settings, log, records))
            publish(settings, bodies)
            plain.append(records / seconds(one_by_one, settings, scratch / "plain", records))
    print(f"{records} results of {size / 1000:g} KB: durable records a second, median of {times}")
    print(f"  hipopt's collector                 {statistics.median(ours):8.0f}")
    print(f"  one by one: fsync, acknowledge     {statistics.median(plain):8.0f}")
    print(f"  ratio                              {ratio(ours, plain):8.2f}")


def publish(settings: Settings, bodies: list[bytes]) -> None:
    with make_app(settings) as app, app.producer_pool.acquire(block=True) as producer:
        for body in bodies:
            producer.publish(
                body, exchange="", routing_key=result_queue(settings.namespace),
                content_type="application/json", content_encoding="utf-8",
            )  # fmt: skip


def collect(settings: Settings, path: Path, records: int) -> None:
    with ResultLog(path) as log:
        Collector(settings, log).run(threading.Event(), until_rows=records)


def one_by_one(settings: Settings, path: Path, records: int) -> None:
    """What one writes first: every message for itself."""
    done: set[object] = set()

    def store(message: Any) -> None:  # noqa: ANN401 (a kombu message)
        row = decode_result(message.body)
        file.write(row.line + b"\n")
        file.flush()
        os.fsync(file.fileno())
        message.ack()
        done.add(row.id)

    with (
        path.open("wb") as file,
        make_app(settings) as app,
        app.connection_for_read() as connection,
    ):
        channel = connection.channel()
        queue = Queue(result_queue(settings.namespace))(channel)
        with Consumer(channel, [queue], on_message=store, prefetch_count=100):
            while len(done) < records:
                connection.drain_events(timeout=10)


def report_resuming(scratch: Path, rows: int, size: int, times: int) -> None:
    path = scratch / "resume.jsonl"
    with path.open("wb") as file:
        for i in range(rows):
            file.write(
                seal(encode_row(result(i, size))[len(b'{"type":"row","schema":2,"row":') : -1])
            )
            file.write(b"\n")
    ours, plain = [], []
    for _ in range(times):
        ours.append(seconds(resume, path, rows))
        plain.append(seconds(json_loads, path, rows))
    print(f"a log of {rows} rows, {path.stat().st_size / rows / 1000:.1f} KB each: seconds")
    print(f"  resume, checksums verified         {statistics.median(ours):8.2f}")
    print(f"  json.loads a line                  {statistics.median(plain):8.2f}")
    print(f"  ratio                              {ratio(plain, ours):8.2f}")


def resume(path: Path, rows: int) -> None:
    reader = LogReader(path)
    for _ in reader.read_on():
        pass
    assert len(reader.rows) == rows


def json_loads(path: Path, rows: int) -> None:
    done = {}
    with path.open("rb") as file:
        for line in file:
            row = json.loads(line)
            done.setdefault(row["id"], row["status"])
    assert len(done) == rows


def seconds(what: Callable[P, None], *args: P.args, **how: P.kwargs) -> float:
    started = time.perf_counter()
    what(*args, **how)
    return time.perf_counter() - started


def ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(above) / statistics.median(below)


if __name__ == "__main__":
    main()
