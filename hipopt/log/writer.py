"""The result log as its only writer sees it: restore, append, recover.

Guarantee: when `append` returns, its rows are on the disk, whole, each kernel once; when it
raises, none of them is in the file. A crash at any byte costs at most the rows that were not
acknowledged, which the broker delivers again. Nobody else writes while a `ResultLog` is open.
Price: one fsync per `append` (0.4 ms on the disk measured), so append in batches; the ids of all
finished kernels are held in memory.
Scope: one machine's file system. `flock` guards against a second collector, not against an editor.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from hipopt.errors import LogError
from hipopt.log.file import (
    append_durably,
    lock_log,
    open_durably,
    tail_of,
    torn_path,
    write_all,
)
from hipopt.log.line import is_row, seal, supersedes
from hipopt.log.reader import LogReader
from hipopt.messages import RowLine
from hipopt.records import KernelId


class ResultLog:
    """An open, locked, recovered log. Use as a context manager, or call `close`.

    Raises:
        LogError: another collector holds it, a line in the middle is corrupt (unless `skip_bad`),
            or the file can't be read or written.
    """

    def __init__(self, path: Path, *, skip_bad: bool = False) -> None:
        self.path = path.resolve()
        self.notices: list[str] = []
        """What recovery found and did, for a person to read; empty after a clean stop."""
        self.duplicates = 0
        """Rows dropped by `append` because they supersede none."""
        self._failed = False
        self._lock = lock_log(self.path)
        try:
            self._fd = open_durably(self.path)
            self._recover()
            reader = LogReader(self.path, skip_bad=skip_bad)
            for _ in reader.read_on():
                pass
            self._sync()
        except BaseException:
            self.close()
            raise
        self._retries = {kernel: outcome.retry for kernel, outcome in reader.rows.items()}
        if reader.bad_lines:
            self.notices.append(f"{self.path}: skipped {reader.bad_lines} lines that are no rows")

    _fd = -1

    def __enter__(self) -> ResultLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._retries)

    def __contains__(self, kernel_id: KernelId) -> bool:
        return kernel_id in self._retries

    def close(self) -> None:
        """Closed and unlocked. May be called twice."""
        for fd in (self._fd, self._lock):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock = -1

    def append(self, rows: Iterable[RowLine]) -> list[KernelId]:
        """The rows are durable, with their checksums; returns the ids written.

        A row that does not supersede what the log holds of its kernel is dropped and counted.

        Raises:
            LogError: the disk is full or failing, or the file was moved away. None of the rows is
                in the log, none may be acknowledged, and this object takes no more.
        """
        fresh: dict[KernelId, int] = {}
        written: list[KernelId] = []
        lines: list[bytes] = []
        for row in rows:
            if supersedes(row.retry, fresh.get(row.id, self._retries.get(row.id))):
                fresh[row.id] = row.retry
                written.append(row.id)
                lines.append(seal(row.line) + b"\n")
            else:
                self.duplicates += 1
        if lines:
            self._write(b"".join(lines))
            self._retries.update(fresh)
        return written

    def _write(self, lines: bytes) -> None:
        if self._failed or self._fd < 0:
            raise LogError(f"{self.path}: an earlier write failed; restart the collector")
        self._failed = True
        before = self._still_ours()
        try:
            write_all(self._fd, lines)
            os.fsync(self._fd)
        except OSError as error:
            self._undo(before)
            raise LogError(
                f"{self.path}: can't be written: {error.strerror}. Nothing is lost: results wait "
                "at the broker. Make room (or mend the disk) and start the collector again"
            ) from None
        self._failed = False

    def _still_ours(self) -> int:
        """The size of the log, which must still stand under its name."""
        ours = os.fstat(self._fd)
        try:
            same = os.path.samestat(ours, self.path.stat())
        except OSError:
            same = False
        if not same:
            raise LogError(
                f"{self.path}: was moved, replaced or deleted while the collector had it open; "
                "put it back and start the collector again"
            )
        return ours.st_size

    def _undo(self, size: int) -> None:
        """Cut off what a failed write left.

        Also after a failed fsync: the kernel may have forgotten that those pages are dirty, so
        rows that can be read need not be on the disk, and must not count as done.
        """
        with suppress(OSError):  # then the next start cuts a torn tail
            os.ftruncate(self._fd, size)
            os.fsync(self._fd)

    def _recover(self) -> None:
        """The log ends with a newline: a torn tail is set aside, a whole one is completed."""
        size = os.fstat(self._fd).st_size
        tail = tail_of(self._fd, size)
        if not tail:
            return
        try:
            if is_row(tail):
                write_all(self._fd, b"\n")
                self.notices.append(f"{self.path}: the last line lacked its newline; added")
            else:
                self._set_aside(tail, size)
        except OSError as error:
            raise LogError(f"{self.path}: torn last line not mended: {error.strerror}") from None

    def _sync(self) -> None:
        """What a killed collector wrote and had no time to sync is on the disk before it counts."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise LogError(f"{self.path}: can't be synced to the disk: {error.strerror}") from None

    def _set_aside(self, tail: bytes, size: int) -> None:
        aside = torn_path(self.path)
        append_durably(aside, [tail])
        os.ftruncate(self._fd, size - len(tail))
        self.notices.append(
            f"{self.path}: the last line was torn ({len(tail)} bytes at byte {size - len(tail)}): "
            f"copied to {aside} and cut off. Its kernel will be delivered or dispatched again"
        )
