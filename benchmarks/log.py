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

import msgspec
from kombu.entity import Queue
from kombu.messaging import Consumer
from msgspec.structs import replace

from hipopt.broker.app import make_app
from hipopt.broker.embedded import EmbeddedBroker
from hipopt.collect import Collector
from hipopt.log.line import seal
from hipopt.log.reader import LogReader
from hipopt.log.writer import ResultLog
from hipopt.messages import decode_result, encode_row, result_queue
from hipopt.records import Attempt, Judgement, ResultRow, Timing, Verdict, Workload
from hipopt.settings import Settings

P = ParamSpec("P")
KERNEL = (
    "__global__ void k(float *y, const float *x, int n) {\n    int i = threadIdx.x;\n"
    "    if (i < n)\n        y[i] = x[i] * 2.0f; // each thread its own element\n}\n"
)
ARGS = [
    {"name": "y", "buffer": "float32", "length": 16384},
    {"name": "x", "buffer": "float32", "length": 16384, "fill": "normal"},
    {"name": "n", "scalar": "int32", "value": 16384},
]
JUDGEMENT = Judgement(
    verdict=Verdict.SAME,
    reason="correct, and 1.01 times as fast: within the noise of this device",
    speedup=1.01,
    timing=Timing(
        speedup=1.01, low=0.98, high=1.04, confidence=0.95, noise_floor=1.02, rounds=5, blocks=40,
        rejected_blocks=2, confirmed=True, reference_time_us=412.7, candidate_time_us=408.1,
        workload=0, emulated=True,
    ),
    seeds=(12345, 67890, 13579, 24680),
    workloads=tuple(Workload.from_json({"grid": g, "block": 256, "args": ARGS}) for g in (64, 16)),
    checks=("results agree on 4 seeds", "red zones are whole", "inputs are as they were"),
    stage_seconds={"compile": 0.6, "reference": 0.4, "check": 1.1, "time": 2.2},
)  # fmt: skip


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
    """A row as a judged kernel's is: code, thinking, four attempts, and the evidence."""
    row = ResultRow(
        id=kernel_id, status="failure", name="k", failure_kind="no_speedup", verdict=Verdict.SAME,
        hip_file="kernels/k.hip", judgement=JUDGEMENT, model="a-model", prompt_tokens=4000,
        attempts=tuple(
            Attempt(number=n, outcome="same", reason=JUDGEMENT.reason, speedup=1.01, seconds=2.5)
            for n in range(1, 5)
        ),
    )  # fmt: skip
    left = size - len(msgspec.json.encode(row))
    code = KERNEL * (1 + left // len(KERNEL))
    return replace(row, opt_kernel=code[: left // 2], opt_think=code[left // 2 : left])


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
