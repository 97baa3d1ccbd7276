"""Work spread over processes, one a core, with progress, and a table that grows a row at a time."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TypeVar

Job = TypeVar("Job")
Row = dict[str, Any]


def spread(
    work: Callable[[Job], list[Row]], jobs: Sequence[Job], processes: int | None = None
) -> Iterator[Row]:
    """The rows of `work(job)` for every job, as they come; `work` is a module's function.

    A job whose work raises ends the run with that error: our side failed. Processes start with what
    this one has imported and loaded; it should have judged nothing and have no threads.
    """
    if not jobs:
        return
    started = time.monotonic()
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes or len(os.sched_getaffinity(0)), context) as pool:
        futures = [pool.submit(work, job) for job in jobs]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                yield from future.result()
                _progress(done, len(jobs), time.monotonic() - started)
        finally:
            pool.shutdown(cancel_futures=True)
            print(file=sys.stderr)


def _progress(done: int, whole: int, spent_s: float) -> None:
    left_s = spent_s * (whole - done) / done
    end = "" if sys.stderr.isatty() else "\n"
    if end == "" or done == whole or done % max(1, whole // 10) == 0:
        print(f"\r{done} of {whole} jobs, {left_s:.0f} s left ", end=end, file=sys.stderr)


class Table:
    """A JSON Lines file of rows that are told apart by `key`; what is there already is read."""

    def __init__(self, path: Path | None, key: Callable[[Row], Hashable]) -> None:
        self._path = path
        self._key = key
        self._rows: dict[Hashable, Row] = {}
        if path is not None and path.exists():
            self._read(path)

    @property
    def rows(self) -> list[Row]:
        """All rows, those of earlier runs first."""
        return list(self._rows.values())

    def __contains__(self, row: Row) -> bool:
        return self._key(row) in self._rows

    def __getitem__(self, row: Row) -> Row:
        return self._rows[self._key(row)]

    def add(self, row: Row) -> None:
        """The row is in the table, and in the file if there is one."""
        self._rows[self._key(row)] = row
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def _read(self, path: Path) -> None:
        """The file's whole lines; a last line that a stop broke off is cut away."""
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            path.write_text(whole, encoding="utf-8")
        for line in whole.splitlines():
            row = json.loads(line)
            self._rows[self._key(row)] = row
