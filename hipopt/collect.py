"""The collector: results from the broker into the log, each kernel once.

Guarantee: a result leaves the broker only after its row is on the disk, so a kill at any moment
loses none; what Redis loses on its own, the dispatcher sends again. Whatever arrives can't stop
the collector, except a log that can't be written. Price: rows wait for up to `PAUSE_S` for company.
Scope: one collector a log, enforced by the log's lock, and one a namespace, enforced by a lease.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from redis.exceptions import RedisError

from hipopt.broker.app import connect
from hipopt.broker.collectlease import CollectorLease
from hipopt.broker.resultqueue import ResultQueue, body_of
from hipopt.broker.url import masked
from hipopt.errors import LogError
from hipopt.log.file import append_durably, rejected_path
from hipopt.log.found import found_line, found_path
from hipopt.log.writer import ResultLog
from hipopt.messages import MessageError, RowLine, Trouble, decode_result
from hipopt.records import KernelId, Record
from hipopt.settings import Settings

logger = logging.getLogger(__name__)

BATCH = 100
"""Most rows of one fsync."""
ANSWER_S = 10.0
"""A broker that is silent for longer is away: so long a stop may wait for it."""
PAUSE_S = 0.05
"""Between two looks at a queue that runs low: so long a row waits for others, at most."""


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
        settings: with the broker, the namespace and the lease.
        log: open for writing; stays open.
        on_rows: called with the ids of each batch once it is durable.
        on_trouble: called with every trouble that a worker reports.
    """

    def __init__(
        self,
        settings: Settings,
        log: ResultLog,
        *,
        on_rows: Callable[[list[KernelId]], None] = lambda _: None,
        on_trouble: Callable[[Trouble], None] | None = None,
    ) -> None:
        self.settings = settings
        self.totals = Collected()
        self._log = log
        self._on_rows = on_rows
        self._on_trouble = on_trouble or _log_trouble
        self._aside = rejected_path(log.path)

    def run(self, stop: threading.Event, *, until_rows: int | None = None) -> Collected:
        """Collects until `stop` is set, or the log holds `until_rows` kernels.

        A broker that goes away is waited for, and that is said once.

        Raises:
            LogError: the log can't be written. What was not written is not acknowledged.
            HeldElsewhere: another collector has the namespace. What it may collect is not
                acknowledged by this one.
        """
        away = False
        lease = CollectorLease(self.settings, self._log.path)
        try:
            while not self._over(stop, until_rows):
                try:
                    with connect(self.settings, timeout_s=ANSWER_S) as client:
                        if not lease.hold(client, stop):
                            break
                        if away:
                            logger.warning("broker is back")
                        away = False
                        queue = ResultQueue(client, self.settings.namespace)
                        self._consume(queue, lease.value, stop, until_rows)
                except (RedisError, OSError) as error:
                    if not away:
                        where = masked(self.settings.broker_url)
                        logger.warning("broker %s is away, waiting for it: %s", where, error)
                    away = True
                    stop.wait(1.0)
        finally:
            lease.release()
        return self.totals

    def _over(self, stop: threading.Event, until_rows: int | None) -> bool:
        return stop.is_set() or (until_rows is not None and len(self._log) >= until_rows)

    def _consume(
        self, queue: ResultQueue, lease: bytes, stop: threading.Event, until_rows: int | None
    ) -> None:
        """Collects until it is over, or the broker no longer knows the lease."""
        while not self._over(stop, until_rows):
            messages = queue.peek(lease, BATCH)
            if messages is None:
                return
            if messages:
                self._settle(messages)
                queue.drop(lease, messages)
            if len(messages) < BATCH:
                stop.wait(PAUSE_S)

    def _settle(self, messages: list[bytes]) -> None:
        """All messages are in the log or set aside."""
        rows: list[RowLine] = []
        rejected: list[bytes] = []
        for message in messages:
            self._sort(message, rows, rejected)
        before = self._log.duplicates
        written = self._log.append(rows)
        self._set_aside(rejected)
        self._show_found(rows, written)
        self._count(written=len(written), duplicates=self._log.duplicates - before)
        if written:
            self._on_rows(written)

    def _sort(self, message: bytes, rows: list[RowLine], rejected: list[bytes]) -> None:
        body = message
        try:
            body = body_of(message)
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


def _log_trouble(trouble: Trouble) -> None:
    logger.warning("%s on %s: %s", trouble.kind, trouble.worker, trouble.message)
