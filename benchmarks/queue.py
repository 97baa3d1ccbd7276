"""What delivery costs: enqueueing, our own work per kernel, and how busy slots are kept.

    python -m benchmarks.queue [enqueue] [cost] [busy] [million]

Starts a Redis, workers and a collector of its own and ends them. `million` dispatches manifests of
a million rows (several GB under TMPDIR, removed again).
"""

from __future__ import annotations

import argparse
import gzip
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec
import redis

from benchmarks.delivery_standin import STAMPS
from hipopt.broker.app import connect, make_app
from hipopt.broker.embedded import find_server
from hipopt.broker.send import Envelopes, send_kernels
from hipopt.broker.turn import Turn
from hipopt.dispatch.dispatcher import Dispatcher, DispatchOptions
from hipopt.messages import encode_task, shard_queue
from hipopt.records import KernelTask
from hipopt.settings import Settings
from hipopt.worker import child_environ, worker_argv

ROOT = Path(__file__).parents[1]
TASKS = 40_000
LOOPED = 4_000
"""So many tasks of the slow loop are timed; the loop over all would take a minute."""


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """The URL of a Redis on a socket, append-only file on."""
    address = folder / "redis.sock"
    command = [
        str(find_server()), "--port", "0", "--unixsocket", str(address), "--dir", str(folder),
        "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
    ]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(unix_socket_path=str(address))
        for _ in range(500):
            try:
                client.ping()
                break
            except redis.RedisError:
                time.sleep(0.02)
        yield f"redis+socket://{address}?virtual_host=0"
    finally:
        server.kill()
        server.wait()


def site(folder: Path, url: str, **more: int) -> Settings:
    """Settings of a run in the folder."""
    return Settings(
        broker_url=url, manifest=folder / "manifest.jsonl", log=folder / "results.jsonl",
        **({"shards": 4} | more),
    )  # fmt: skip


def write_manifest(settings: Settings, count: int, size: int, word: str = "{}") -> None:
    """Rows of about `size` bytes."""
    assert settings.manifest is not None
    pad = "x = y + 1.0f;\n" * (size // 14)
    with settings.manifest.open("wb") as file:
        for i in range(count):
            row = {"id": i, "name": f"kernel_{i}", "code_body": word, "hip_file": None, "pad": ""}
            file.write(msgspec.json.encode(row | {"code_body": f"{word}\n{pad}"}) + b"\n")


@contextmanager
def processes(settings: Settings, folder: Path, *, workers: int = 1) -> Iterator[list[int]]:
    """A collector and workers with the stand-in; their process ids."""
    env = child_environ(settings) | {"PYTHONPATH": str(ROOT), STAMPS: str(folder / "stamps.txt")}
    worker = [
        "benchmarks.delivery_standin" if part == "tasks.app" else part
        for part in worker_argv(settings, loglevel="WARNING")
    ]
    commands = [[sys.executable, "-m", "hipopt", "collect"], *[worker] * workers]
    with (folder / "output.txt").open("ab") as output:
        started = [
            subprocess.Popen(command, env=env, cwd=ROOT, stdout=output, stderr=output)
            for command in commands
        ]
    try:
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait(30)


def enqueue(folder: Path) -> None:
    """40,000 tasks of 3 KB against a loop of `send_task`, which is what `delay` does."""
    with broker(folder) as url:
        settings = site(folder, url)
        kernels = [
            KernelTask(id=i, name=f"k{i}", code_body="x" * 3000, shard=i % 4) for i in range(TASKS)
        ]
        with make_app(settings) as app:
            began = time.perf_counter()
            for kernel in kernels[:LOOPED]:
                queue = shard_queue("hipopt", kernel.shard)
                app.send_task("hipopt.optimize_kernel", (encode_task(kernel),), queue=queue)
            looped = LOOPED / (time.perf_counter() - began)
            with connect(settings) as client:
                client.flushall()
                turn = Turn(client, "hipopt")
                began = time.perf_counter()
                turn.take()
                sent = send_kernels(turn, Envelopes(app, "hipopt"), kernels, print)
                ours = sent / (time.perf_counter() - began)
    print(f"enqueue: {ours:.0f} tasks/s, a delay loop {looped:.0f}: {ours / looped:.1f} times")


def cpu_s(pid: int, *, below: bool = True) -> float:
    """CPU time of a process and of all below it; of this process, its own alone."""
    if pid == os.getpid():
        return time.process_time()
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    ticks = sum(map(int, fields[11:15] if below else fields[11:13]))
    more = sum(cpu_s(int(child)) for child in children) if below else 0.0
    return ticks / os.sysconf("SC_CLK_TCK") + more


def dispatch(settings: Settings, on_progress: Callable[[object], None] = lambda _: None) -> None:
    """Everything is dispatched and done."""
    final = Dispatcher(settings, DispatchOptions()).run(on_progress, threading.Event())
    assert final.done == final.total, final


def cost(folder: Path, kernels: int = 4000) -> None:
    """CPU time of dispatcher, worker and collector for kernels that take none."""
    with broker(folder) as url:
        settings = site(folder, url, concurrency=4)
        write_manifest(settings, 50, 3000)
        with processes(settings, folder) as pids:
            dispatch(settings)  # all is imported and forked
            write_manifest(settings, kernels + 50, 3000)
            before = [cpu_s(pid) for pid in (os.getpid(), *pids)]
            began = time.perf_counter()
            dispatch(settings)
            wall = time.perf_counter() - began
            after = [cpu_s(pid) for pid in (os.getpid(), *pids)]
    spent = [1000 * (b - a) / kernels for a, b in zip(before, after, strict=True)]
    named = zip(("dispatcher", "collector", "worker"), spent, strict=True)
    parts = ", ".join(f"{name} {ms:.2f}" for name, ms in named)
    print(f"cost: {sum(spent):.2f} ms CPU a kernel ({parts}); {kernels / wall:.0f} kernels/s")


def busy(folder: Path, slots: int = 64, kernels: int = 64 * 60, wait_s: float = 0.5) -> None:
    """How busy slots are kept by tasks that only wait, until the queue is dry."""
    with broker(folder) as url:
        settings = site(folder, url, concurrency=slots)
        write_manifest(settings, kernels, 3000, f"wait {wait_s}")
        with processes(settings, folder) as pids:
            app = make_app(settings)
            while not app.control.ping(timeout=0.5):
                pass
            before = [cpu_s(pids[1], below=both) for both in (False, True)]
            dispatch(settings)
            after = [cpu_s(pids[1], below=both) for both in (False, True)]
    main, every = (1000 * (b - a) / kernels for a, b in zip(before, after, strict=True))
    lines = (folder / "stamps.txt").read_text().splitlines()
    stamps = sorted(tuple(map(float, line.split())) for line in lines)
    first, dry = stamps[0][0], stamps[-1][0]  # the last start: then the queue is dry
    worked = sum(min(end, dry) - start for start, end in stamps)
    share = worked / (slots * (dry - first))
    print(
        f"busy: {100 * share:.1f} % of {slots} slots over {dry - first:.1f} s; worker's CPU a "
        f"kernel: main process {main:.2f} ms, with its pool {every:.2f} ms"
    )


CHILD = """
import resource, sys, threading, time
from benchmarks.queue import Watch
from hipopt.dispatch.dispatcher import Dispatcher, DispatchOptions
from hipopt.settings import load
began = time.perf_counter()
dispatcher = Dispatcher(load(), DispatchOptions())
read = time.perf_counter() - began
watch = Watch(dispatcher, 100_000)
dispatcher.run(watch.look, watch.stop)
took = time.perf_counter() - began - read
rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"read in {read:.1f} s, {watch.sent} sent at {watch.sent / took:.0f}/s, {rss:.0f} MB")
"""


class Watch:
    """Settles what was sent, as a log that grows would, until enough was sent."""

    def __init__(self, dispatcher: Dispatcher, enough: int) -> None:
        self.stop = threading.Event()
        self.sent = 0
        self._dispatcher = dispatcher
        self._enough = enough

    def look(self, _: object) -> None:
        """All that is on its way is done from now on."""
        todo = self._dispatcher.todo
        sent = list(todo.sent())
        self.sent += len(sent)
        with connect(self._dispatcher.settings) as client:
            client.delete(*self._dispatcher.queues)
        with self._dispatcher.log_path.open("ab") as log:
            log.writelines(b'{"id":%d,"status":"failure"}\n' % i for i in sent)
        if self.sent >= self._enough:
            self.stop.set()


def million(folder: Path, count: int = 1_000_000, size: int = 1000) -> None:
    """Memory and pace of a dispatcher over a million rows, in each form, with half of them done."""
    with broker(folder) as url:
        settings = site(folder, url)
        assert settings.manifest is not None
        assert settings.log is not None
        for form in ("lines", "array", "lines.gz"):
            _write_form(settings, form, count, size)
            with settings.log.open("wb") as log:
                log.writelines(
                    b'{"id":%d,"status":"failure","failure_kind":"no_speedup"}\n' % i
                    for i in range(0, count, 2)
                )
            env = child_environ(settings) | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
            done = subprocess.run(
                [sys.executable, "-c", CHILD], env=env, cwd=ROOT, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
            megabytes = settings.manifest.stat().st_size >> 20
            print(f"million, {form} of {megabytes} MB: {done.stdout.strip() or done.stderr}")


def _write_form(settings: Settings, form: str, count: int, size: int) -> None:
    assert settings.manifest is not None
    write_manifest(settings, count, size)
    path = settings.manifest
    if form == "lines":
        return
    fresh = path.with_suffix(".fresh")
    with path.open("rb") as file, _opened(fresh, packed=form.endswith("gz")) as out:
        for number, line in enumerate(file):
            start = b"" if form != "array" else b"," if number else b"["
            out.write(start + line)
        out.write(b"]" if form == "array" else b"")
    fresh.replace(path)


def _opened(path: Path, *, packed: bool) -> IO[bytes]:
    return gzip.open(path, "wb", 1) if packed else path.open("wb")


PARTS: dict[str, Callable[[Path], None]] = {"enqueue": enqueue, "cost": cost, "busy": busy}


def main() -> None:
    """The parts that the command line names; without names all but the million."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = PARTS | {"million": million}
    parser.add_argument("parts", nargs="*", choices=[*known, []], default=[])
    for name in parser.parse_args().parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="hipopt-bench-") as folder:
            known[name](Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"(this process: {peak} MB at most)")


if __name__ == "__main__":
    main()
