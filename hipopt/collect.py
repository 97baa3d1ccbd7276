"""The collector: results from the broker into the log, each kernel once.

Guarantee: a result is acknowledged only after its row is on the disk, so a kill at any moment
loses none that Redis had handed over; what Redis loses on its own, the dispatcher sends again.
Whatever arrives can't stop the collector, except a log that can't be written. Price: rows wait
for up to `BATCH_S` for company. Scope: one collector a log, enforced by the log's lock.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from celery import Celery
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from kombu.messaging import Consumer
from redis.exceptions import RedisError

from hipopt.broker import masked
from hipopt.errors import LogError
from hipopt.foundfile import found_line, found_path
from hipopt.lease import renew, renew_interval_s
from hipopt.messages import MessageError, RowLine, Trouble, decode_result, result_queue
from hipopt.records import KernelId, Record
from hipopt.resultlog import ResultLog, append_durably
from hipopt.settings import Settings

logger = logging.getLogger(__name__)

BATCH = 100
"""Most rows of one fsync."""
BATCH_S = 0.05
"""Longest that a row waits for others before it is written."""
POLL_S = 0.5
"""Longest that a stop goes unnoticed."""


class Collected(Record, frozen=True, kw_only=True):
    """What a collector did since it started."""

    written: int = 0
    duplicates: int = 0
    rejected: int = 0
    """Messages set aside because they were no results."""
    troubles: int = 0


class Collector:
    """Moves results from the queue into an open log, until told to stop.

    Args:
        app: as made by `broker.make_app` from the same settings.
        log: open for writing; stays open.
        on_rows: called with the ids of each batch once it is durable.
        on_trouble: called with every trouble that a worker reports.
    """

    def __init__(
        self,
        settings: Settings,
        app: Celery,
        log: ResultLog,
        *,
        on_rows: Callable[[list[KernelId]], None] = lambda _: None,
        on_trouble: Callable[[Trouble], None] | None = None,
    ) -> None:
        self.settings = settings
        self.totals = Collected()
        self._app = app
        self._log = log
        self._on_rows = on_rows
        self._on_trouble = on_trouble or _log_trouble
        self._aside = log.path.with_name(log.path.name + ".rejected.jsonl")
        self._pending: list[Any] = []

    def run(self, stop: threading.Event, *, until_rows: int | None = None) -> Collected:
        """Collects until `stop` is set, or the log holds `until_rows` kernels.

        A broker that goes away is waited for, and that is said once.

        Raises:
            LogError: the log can't be written. What was not written is not acknowledged.
        """
        away = False
        while not self._over(stop, until_rows):
            try:
                with self._connected() as (connection, channel):
                    if away:
                        logger.warning("broker is back")
                    away = False
                    self._consume(connection, channel, stop, until_rows)
            except _broker_errors(self._app) as error:
                if not away:
                    where = masked(self.settings.broker_url)
                    logger.warning("broker %s is away, waiting for it: %s", where, error)
                away = True
                stop.wait(1.0)
        return self.totals

    def _over(self, stop: threading.Event, until_rows: int | None) -> bool:
        return stop.is_set() or (until_rows is not None and len(self._log) >= until_rows)

    @contextmanager
    def _connected(self) -> Iterator[tuple[Connection, Any]]:
        self._pending.clear()
        with self._app.connection_for_read() as connection:
            channel = connection.channel()
            queue = Queue(result_queue(self.settings.namespace))(channel)
            with Consumer(
                channel, [queue], on_message=self._pending.append, prefetch_count=2 * BATCH
            ):
                yield connection, channel

    def _consume(  # a channel is of no declared type
        self,
        connection: Connection,
        channel: Any,  # noqa: ANN401
        stop: threading.Event,
        until_rows: int | None,
    ) -> None:
        renewed = time.monotonic()
        while not self._over(stop, until_rows):
            self._drain(connection, POLL_S)
            deadline = time.monotonic() + BATCH_S
            while self._pending and len(self._pending) < BATCH and time.monotonic() < deadline:
                self._drain(connection, BATCH_S)
            self._settle()
            if time.monotonic() - renewed > renew_interval_s(self.settings):
                with channel.conn_or_acquire() as client:
                    renew(channel, client)
                renewed = time.monotonic()

    def _drain(self, connection: Connection, timeout_s: float) -> None:
        """Perhaps one more message in `_pending`."""
        try:
            connection.drain_events(timeout=timeout_s)
        except TimeoutError:
            return
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("dropped from the result queue what is no message at all: %r", error)
            self._count(rejected=1)

    def _settle(self) -> None:
        """All pending messages are in the log or set aside, and acknowledged."""
        messages = self._pending[:]
        self._pending.clear()
        if not messages:
            return
        rows: list[RowLine] = []
        rejected: list[bytes] = []
        for message in messages:
            self._sort(_body(message), rows, rejected)
        before = self._log.duplicates
        written = self._log.append((row.id, row.line) for row in rows)
        self._set_aside(rejected)
        self._show_found(rows, written)
        for message in messages:
            message.ack()
        self._count(written=len(written), duplicates=self._log.duplicates - before)
        if written:
            self._on_rows(written)

    def _sort(self, body: bytes, rows: list[RowLine], rejected: list[bytes]) -> None:
        try:
            found = decode_result(body)
        except MessageError as error:
            logger.warning("a message is no result, set aside in %s: %s", self._aside, error)
            rejected.append(body.replace(b"\n", b" "))
            self._count(rejected=1)
            return
        if isinstance(found, Trouble):
            self._count(troubles=1)
            self._on_trouble(found)
        else:
            rows.append(found)

    def _set_aside(self, bodies: list[bytes]) -> None:
        if not bodies:
            return
        try:
            append_durably(self._aside, bodies)
        except OSError as error:
            raise LogError(f"{self._aside}: can't be written: {error.strerror}") from None

    def _show_found(self, rows: list[RowLine], written: list[KernelId]) -> None:
        """The workloads that were found for these kernels stand beside the log."""
        fresh = set(written)
        lines = [found_line(row.line) for row in rows if row.id in fresh]
        found = [line for line in lines if line is not None]
        if not found:
            return
        path = found_path(self._log.path)
        try:
            append_durably(path, found)
        except OSError as error:
            logger.warning("%s: can't be written: %s", path, error.strerror)

    def _count(self, **more: int) -> None:
        counts = {name: getattr(self.totals, name) + n for name, n in more.items()}
        self.totals = Collected(**(self.totals.to_json() | counts))


def _body(message: Any) -> bytes:  # noqa: ANN401 (a kombu message)
    body = message.body
    return body if isinstance(body, bytes) else str(body).encode(errors="replace")


def _log_trouble(trouble: Trouble) -> None:
    logger.warning("%s on %s: %s", trouble.kind, trouble.worker, trouble.message)


def _broker_errors(app: Celery) -> tuple[type[BaseException], ...]:
    connection = app.connection_for_read()
    return (*connection.connection_errors, *connection.channel_errors, OperationalError, RedisError)


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; a second one acts as if we had never been here."""
    stop = threading.Event()
    previous: dict[signal.Signals, Any] = {}

    def handle(number: int, _: FrameType | None) -> None:
        stop.set()
        signal.signal(number, previous[signal.Signals(number)])

    for name in (signal.SIGINT, signal.SIGTERM):
        previous[name] = signal.signal(name, handle)
    try:
        yield stop
    finally:
        for name, handler in previous.items():
            signal.signal(name, handler)
