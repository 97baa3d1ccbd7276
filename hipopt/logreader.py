"""Reading the result log, by everyone but the collector.

Guarantee: only whole lines count, a torn tail is left alone, the file is never written to; the
first final row of a kernel wins, as in the collector. Reading on costs only what was appended.
Scope: any JSON Lines file whose objects have `id` and `status`, be it from hipopt or a script.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from hipopt.errors import LogError
from hipopt.records import KernelId

FINAL = frozenset({"success", "failure"})


class LogLine(msgspec.Struct, frozen=True):
    """What is read of a row; all else stays on disk."""

    id: KernelId
    status: str
    failure_kind: Any = None
    """A `records.FailureKind`, or whatever a script wrote there."""
    name: Any = None
    speedup: Any = None
    finished_at: Any = None

    @property
    def final(self) -> bool:
        """Whether the row settles its kernel."""
        return self.status in FINAL


_decoder = msgspec.json.Decoder(LogLine)


def decode_line(line: bytes) -> LogLine:
    """The row on one line.

    Raises:
        ValueError: it is no JSON object with an `id` (int or string) and a `status` (string).
    """
    return _decoder.decode(line)


class LogReader:
    """The finished kernels in a log that may still grow, or not exist yet."""

    def __init__(self, path: Path, *, skip_bad: bool = False) -> None:
        self.path = path
        self.rows: dict[KernelId, LogLine] = {}
        """Every finished kernel that was read so far."""
        self.bad_lines = 0
        """Lines left out because they are no row; more than 0 only with `skip_bad`."""
        self.duplicates = 0
        """Final rows left out because their kernel had one already."""
        self._skip_bad = skip_bad
        self._offset = 0
        self._line = 0
        self._inode: int | None = None

    def poll(self) -> list[LogLine]:
        """The kernels finished since the last poll.

        A log that shrank or was replaced is read again from its start.

        Raises:
            LogError: the file can't be read, or a whole line is no row (without `skip_bad`).
        """
        try:
            with self.path.open("rb") as file:
                return self._read_on(file)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LogError(f"{self.path}: can't be read: {error.strerror}") from None

    def _read_on(self, file: Any) -> list[LogLine]:  # noqa: ANN401 (a binary file)
        found = os.fstat(file.fileno())
        if found.st_ino != self._inode or found.st_size < self._offset:
            self._restart(found.st_ino)
        if found.st_size == self._offset:
            return []
        file.seek(self._offset)
        return [row for line in file for row in self._take(line)]

    def _restart(self, inode: int) -> None:
        self.rows.clear()
        self.bad_lines = self.duplicates = self._offset = self._line = 0
        self._inode = inode

    def _take(self, line: bytes) -> Iterator[LogLine]:
        if not line.endswith(b"\n"):
            return
        self._line += 1
        try:
            row = decode_line(line) if line.strip() else None
        except ValueError as error:
            if not self._skip_bad:
                raise bad_line(self.path, self._line, self._offset, error) from None
            self.bad_lines += 1
            row = None
        self._offset += len(line)
        if row is None or not row.final:
            return
        if row.id in self.rows:
            self.duplicates += 1
            return
        self.rows[row.id] = row
        yield row


def bad_line(path: Path, line: int, offset: int, error: Exception) -> LogError:
    """The error for a whole line that is no row: corruption, which nobody should paper over."""
    return LogError(
        f"{path}: line {line} (byte {offset}) is no row of a result log: {error}\n"
        "Mend or remove that line, or read on without such lines: --skip-bad-lines"
    )
