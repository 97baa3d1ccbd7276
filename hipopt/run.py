"""Everything on one machine: an embedded broker, a worker, the collector and the dispatcher.

Guarantee: what is in the log when this ends, however it ends, is whole and final; the next run goes
on from there. Price: none of the queues survives, so kernels in work at a kill start anew. Scope:
one machine; spread out with `dispatch`, `worker` and `collect` on a broker of your own.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from hipopt.broker.embedded import EmbeddedBroker, die_with_parent
from hipopt.collect import Collector
from hipopt.dispatch.dispatcher import Dispatcher, DispatchOptions
from hipopt.dispatch.progress import Progress
from hipopt.errors import DeviceError, HipoptError, ModelRefused
from hipopt.log.line import LogLine
from hipopt.log.writer import ResultLog
from hipopt.messages import Trouble
from hipopt.settings import Settings
from hipopt.worker import child_environ, worker_argv

logger = logging.getLogger(__name__)


class Run:
    """One run of a manifest on this machine.

    Args:
        settings: with manifest and log; the broker's URL is not used.
        options: of the dispatch.
        on_progress: called a few times a second.
        on_row: called with every row that appears in the log and counts.
        on_trouble: called with trouble on our side that a worker reports and waits out; a
            refusing model is not waited out but raised by `go`.

    Raises:
        ManifestError, LogError, UsageError: the files can't be read.
    """

    def __init__(
        self,
        settings: Settings,
        options: DispatchOptions,
        *,
        on_progress: Callable[[Progress], None] = lambda _: None,
        on_row: Callable[[LogLine], None] = lambda _: None,
        on_trouble: Callable[[Trouble], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._options = options
        self._on_progress = on_progress
        self._on_row = on_row
        self._on_trouble = on_trouble
        self._failure: HipoptError | None = None
        todo = Dispatcher(settings, options).todo  # of which nothing else is kept
        self.total = todo.total
        self.left = todo.waiting

    def go(self, stop: threading.Event) -> Progress:
        """All kernels are settled, or `stop` was set. Call from the main thread.

        Raises:
            LogError: the log can't be written.
            DeviceError: the worker died.
            ModelRefused: the endpoint will never answer as configured.
        """
        assert self._settings.log is not None  # noqa: S101 (the dispatcher saw to it)
        with ResultLog(self._settings.log) as log, EmbeddedBroker() as broker:
            for notice in log.notices:
                logger.warning(notice)
            settings = msgspec.structs.replace(self._settings, broker_url=broker.url)
            with self._collecting(settings, log, stop), self._working(settings) as worker:
                progress = Dispatcher(settings, self._options).run(
                    lambda p: self._look(p, worker, stop), stop, self._on_row
                )
        if self._failure is not None:
            raise self._failure
        return progress

    def _look(
        self, progress: Progress, worker: subprocess.Popen[bytes], stop: threading.Event
    ) -> None:
        self._on_progress(progress)
        if worker.poll() is not None and not stop.is_set():
            self._fail(
                DeviceError(
                    f"the worker ended by itself (exit code {worker.returncode}); its last words "
                    f"are in {worker_log(self._settings)}. Run the same command again to go on"
                ),
                stop,
            )

    def _fail(self, failure: HipoptError, stop: threading.Event) -> None:
        self._failure = self._failure or failure
        stop.set()

    @contextmanager
    def _collecting(
        self, settings: Settings, log: ResultLog, stop: threading.Event
    ) -> Iterator[None]:
        """The collector runs in a thread; it has written all that came when the context ends."""

        def on_trouble(trouble: Trouble) -> None:
            if trouble.kind == "model_refused":
                self._fail(ModelRefused(trouble.message), stop)
            else:
                self._on_trouble(trouble)

        def collect() -> None:
            try:
                Collector(settings, log, on_trouble=on_trouble).run(over)
            except HipoptError as error:
                self._fail(error, stop)
            except Exception as error:
                logger.exception("the collector stopped")
                self._fail(HipoptError(f"the collector stopped: {error!r}"), stop)

        over = threading.Event()
        thread = threading.Thread(target=collect, name="collector")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @contextmanager
    def _working(self, settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
        """A worker runs; it and all that it started are gone when the context ends.

        It is killed, not asked: what it held is in the manifest and not in the log, which is all
        that the next run needs to know.
        """
        with worker_log(settings).open("ab") as output:
            worker = subprocess.Popen(
                worker_argv(settings),
                env=child_environ(settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C stops us first, and it with us
                preexec_fn=die_with_parent,
            )
        try:
            yield worker
        finally:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


def worker_log(settings: Settings) -> Path:
    """Where the worker of `hipopt run` writes what it has to say."""
    assert settings.log is not None  # noqa: S101
    return settings.log.with_name(settings.log.name + ".worker.log")
