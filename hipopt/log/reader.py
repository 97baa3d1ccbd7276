"""Reading the result log, by everyone but the collector.

Guarantee: only whole lines count, a torn tail is left alone, the file is never written to; of a
kernel's final rows the one that counts is told by `line.supersedes`, as in the collector.
Reading on costs only what was appended. A kernel costs an entry of a dict, some 100 bytes with its
id, so that a million fit anywhere.
Scope: any JSON Lines file whose objects have `id` and `status`, be it from hipopt or a script.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from hipopt.errors import LogError
from hipopt.log.line import LogLine, decode_line, supersedes
from hipopt.records import KernelId

_BUFFER_BYTES = 1 << 20
_ANCHOR_BYTES = 64
"""So much of what was read last is looked at again, to tell a file that was cut and grew again."""


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What is remembered of a finished kernel. Kernels that ended alike share one."""

    status: str
    failure_kind: str | None
    """A `records.FailureKind`, or what a script wrote there; None: nothing."""
    retry: int


class LogReader:
    """The finished kernels in a log that may still grow, or not exist yet."""

    def __init__(self, path: Path, *, skip_bad: bool = False) -> None:
        self.path = path
        self.rows: dict[KernelId, Outcome] = {}
        """Every finished kernel that was read so far."""
        self.bad_lines = 0
        """Lines left out because they are no row; more than 0 only with `skip_bad`."""
        self.duplicates = 0
        """Final rows left out because their kernel had one already that counts."""
        self.superseded = 0
        """Final rows that counted until a later `retry` of their kernel took their place."""
        self._skip_bad = skip_bad
        self._outcomes: dict[tuple[str, str | None, int], Outcome] = {}
        self._offset = 0
        self._line = 0
        self._file: tuple[int, int] | None = None
        self._anchor = b""

    def poll(self) -> list[LogLine]:
        """As `read_on`, all at once."""
        return list(self.read_on())

    def read_on(self) -> Iterator[LogLine]:
        """The rows that count and were not read before, those that supersede an earlier included.

        `rows` knows each when it is yielded. A log that shrank or was replaced is read again from
        its start.

        Raises:
            LogError: the file can't be read, or a whole line is no row (without `skip_bad`).
        """
        try:
            with self.path.open("rb", buffering=_BUFFER_BYTES) as file:
                if self._seek(file):
                    for line in file:
                        row = self._take(line)
                        if row is not None:
                            yield row
        except FileNotFoundError:
            return
        except OSError as error:
            raise LogError(f"{self.path}: can't be read: {error.strerror}") from None

    def _seek(self, file: BinaryIO) -> bool:
        """The file stands where reading left off, or at its start; False: nothing new."""
        found = os.fstat(file.fileno())
        identity = (found.st_dev, found.st_ino)
        if identity != self._file or not self._is_as_left(file):
            self._restart(identity)
        file.seek(self._offset)
        return found.st_size > self._offset

    def _is_as_left(self, file: BinaryIO) -> bool:
        file.seek(self._offset - len(self._anchor))
        return file.read(len(self._anchor)) == self._anchor

    def _restart(self, identity: tuple[int, int]) -> None:
        self.rows.clear()
        self.bad_lines = self.duplicates = self.superseded = self._offset = self._line = 0
        self._anchor = b""
        self._file = identity

    def _take(self, line: bytes) -> LogLine | None:
        """The row, if it counts."""
        if not line.endswith(b"\n"):
            return None
        self._line += 1
        try:
            row = None if line.isspace() else decode_line(line)
        except ValueError as error:
            if not self._skip_bad:
                raise bad_line(self.path, self._line, self._offset, error) from None
            self.bad_lines += 1
            row = None
        self._offset += len(line)
        self._anchor = line[-_ANCHOR_BYTES:]
        return row if row is not None and row.final and self._counts(row) else None

    def _counts(self, row: LogLine) -> bool:
        held = self.rows.get(row.id)
        if not supersedes(row.retry, held.retry if held else None):
            self.duplicates += 1
            return False
        self.superseded += held is not None
        kind = row.failure_kind
        key = (row.status, kind if kind is None else str(kind), row.retry)
        outcome = self._outcomes.get(key)
        if outcome is None:
            outcome = self._outcomes[key] = Outcome(*key)
        self.rows[row.id] = outcome
        return True


def bad_line(path: Path, line: int, offset: int, error: Exception) -> LogError:
    """The error for a whole line that is no row: corruption, which nobody should paper over."""
    return LogError(
        f"{path}: line {line} (byte {offset}) is no row of a result log: {error}\n"
        f"Set such lines aside with: hipopt log repair {path}\n"
        "or read on without them: --skip-bad-lines"
    )
