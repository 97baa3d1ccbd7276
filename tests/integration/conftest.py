"""A real Redis, real workers: processes of this session only, each ended when its test is over."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import redis
from msgspec.structs import replace

from hipopt.broker.embedded import find_server
from hipopt.dispatch.dispatcher import Dispatcher, DispatchOptions
from hipopt.errors import BrokerError
from hipopt.settings import Settings
from hipopt.worker import child_environ, worker_argv

ROOT = Path(__file__).parents[2]
STANDIN = "tests.integration.standin"


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
    """Returns once the condition holds; fails, naming it, if it doesn't in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.02)


class RedisServer:
    """A redis-server on a port of its own, which can be killed and started again."""

    def __init__(self, binary: Path, folder: Path, *extra: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [
            str(binary), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder),
            "--save", "", *extra,
        ]  # fmt: skip
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_for(self.answers, "redis-server answers")

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=5)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def children() -> set[str]:
    pid = os.getpid()
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


@pytest.fixture(autouse=True)
def _no_process_left() -> Iterator[None]:
    """No test leaves a child process behind; the Redis that they share stays."""
    before = children()
    yield
    assert children() <= before


@pytest.fixture(scope="session")
def redis_binary() -> Path:
    try:
        return find_server()
    except BrokerError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def shared_redis(
    redis_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    server = RedisServer(redis_binary, tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
def settings(shared_redis: RedisServer, tmp_path: Path) -> Settings:
    """Settings of a run of its own on the shared Redis, emptied first."""
    with shared_redis.client() as client:
        client.flushall()
    return Settings(
        broker_url=shared_redis.url,
        manifest=tmp_path / "manifest.json",
        log=tmp_path / "results.jsonl",
        shards=3,
        device="cpu",
        lease_s=4,
        concurrency=2,
    )


def write_manifest(settings: Settings, rows: list[dict[str, object]]) -> None:
    assert settings.manifest is not None
    settings.manifest.write_bytes(msgspec.json.encode(rows))


def kernels(count: int, code_body: str = "quick") -> list[dict[str, object]]:
    """Rows whose `code_body` tells the stand-in optimiser what to do."""
    return [{"id": i, "name": f"k{i}", "code_body": code_body} for i in range(count)]


def send(settings: Settings, rows: list[dict[str, object]]) -> None:
    """A manifest of these rows was dispatched to one shard, and nobody waits for it."""
    write_manifest(settings, rows)
    options = DispatchOptions(wait=False)
    Dispatcher(replace(settings, shards=1), options).run(lambda _: None, threading.Event())


class Processes:
    """Subprocesses of one test, all ended with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._all: list[subprocess.Popen[bytes]] = []

    def start(
        self, argv: list[str], env: dict[str, str], name: str = "process"
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}-{len(self._all)}.log").open("wb") as log:
            process = subprocess.Popen(argv, env=env, cwd=ROOT, stdout=log, stderr=log)
        self._all.append(process)
        return process

    def worker(self, settings: Settings, *queues: str) -> subprocess.Popen[bytes]:
        """A worker whose optimiser is the stand-in."""
        argv = [STANDIN if a == "tasks.app" else a for a in worker_argv(settings, queues)]
        env = child_environ(settings) | {"STANDIN_FOLDER": str(self.folder)}
        return self.start(argv, env | {"PYTHONPATH": str(ROOT)}, "worker")

    def collector(self, settings: Settings) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "tests.integration.collecting"]
        return self.start(argv, child_environ(settings) | {"PYTHONPATH": str(ROOT)}, "collector")

    def logs(self) -> str:
        return "\n".join(p.read_text(errors="replace") for p in self.folder.glob("*.log"))

    def end(self) -> None:
        for process in self._all:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    found = Processes(tmp_path)
    yield found
    found.end()
