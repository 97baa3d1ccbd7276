"""Is a result log sound? Looks at every byte of it and writes nothing.

A sound log consists of whole lines, each a row (or blank), each with its right checksum or none.
Duplicates and superseded rows are no damage: every reader knows which row counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from hipopt.errors import LogError
from hipopt.log.line import LogLine, decode_line, is_row, is_sealed, supersedes
from hipopt.log.rescue import rescue
from hipopt.records import KernelId, Record

SHOWN = 1000
"""So many damaged lines are described; all are counted."""
_BUFFER_BYTES = 1 << 20
_SETTLE_S = 0.1
"""A line that a collector is writing is whole after this."""


class Damage(Record, frozen=True, kw_only=True):
    """A line that is no row."""

    line: int
    """From 1."""
    offset: int
    """Of its first byte in the file."""
    length: int
    """In bytes, without the newline."""
    reason: str
    rows: int
    """Whole rows that can be told apart on it for sure, and are kept by a repair."""


class LogReport(Record, frozen=True, kw_only=True):
    """What a log consists of."""

    log: str
    size_bytes: int
    lines: int
    """Whole lines, damaged ones included, blank ones left out."""
    kernels: int
    """Kernels with a row that counts."""
    checksummed: int
    """Rows with a checksum, which is right."""
    plain: int
    """Rows without one, as a script writes them."""
    unsettled: int
    """Rows whose status is not final."""
    duplicates: int
    """Final rows that don't count, as the kernel had one before."""
    superseded: int
    """Final rows that counted until a later `retry` of their kernel took their place."""
    damaged: int
    """Lines that are no rows."""
    damages: tuple[Damage, ...]
    """The first `SHOWN` of them."""
    torn_bytes: int
    """Length of what stands after the last newline; it doesn't count. 0: nothing stands there."""
    tail_whole: bool
    """Those bytes are a whole row that only lacks its newline."""
    sound: bool
    """No line is damaged, and no row was cut off at the end."""


class Line(msgspec.Struct, frozen=True):
    """One line of a log as it stands in the file."""

    number: int
    offset: int
    content: bytes
    """With its newline, unless it is torn."""
    row: LogLine | None
    """None: it is blank, damaged or torn."""
    reason: str | None
    """Why it is damaged; None: it isn't."""

    @property
    def torn(self) -> bool:
        """Whether it lacks its newline."""
        return not self.content.endswith(b"\n")

    @property
    def whole(self) -> bool:
        """Whether it is as it should be, and ends."""
        return self.reason is None and not self.torn


def read_lines(path: Path) -> Iterator[Line]:
    """Every line of the log, damaged ones and a torn tail too.

    Raises:
        LogError: the file can't be read.
    """
    offset = 0
    try:
        with path.open("rb", buffering=_BUFFER_BYTES) as file:
            for number, found in enumerate(file, 1):
                content = found if found.endswith(b"\n") else _settled(file, offset)
                yield _examined(number, offset, content)
                offset += len(content)
    except OSError as error:
        raise LogError(f"{path}: can't be read: {error.strerror}") from None


def verify(path: Path) -> LogReport:
    """What the log consists of, after a look at all of it.

    Raises:
        LogError: the file can't be read.
    """
    count = _Count()
    for line in read_lines(path):
        count.add(line)
    return count.report(path)


class _Count:
    """Totals, while the log streams by."""

    def __init__(self) -> None:
        self.size = self.lines = self.checksummed = self.plain = self.unsettled = 0
        self.duplicates = self.superseded = self.damaged = self.torn = 0
        self.tail_whole = False
        self.damages: list[Damage] = []
        self.retries: dict[KernelId, int] = {}

    def add(self, line: Line) -> None:
        self.size += len(line.content)
        if line.torn:
            self.torn = len(line.content)
            self.tail_whole = is_row(line.content)
            return
        self.lines += bool(line.content.strip())
        if line.reason is not None:
            self._add_damage(line, line.reason)
        if line.row is not None:
            sealed = is_sealed(line.content)
            self.checksummed += sealed
            self.plain += not sealed
            self._add_row(line.row)

    def _add_damage(self, line: Line, reason: str) -> None:
        self.damaged += 1
        if len(self.damages) < SHOWN:
            content = line.content[:-1]
            self.damages.append(
                Damage(
                    line=line.number,
                    offset=line.offset,
                    length=len(content),
                    reason=reason,
                    rows=len(rescue(content)),
                )
            )

    def _add_row(self, row: LogLine) -> None:
        held = self.retries.get(row.id)
        if not row.final:
            self.unsettled += 1
        elif supersedes(row.retry, held):
            self.superseded += held is not None
            self.retries[row.id] = row.retry
        else:
            self.duplicates += 1

    def report(self, path: Path) -> LogReport:
        return LogReport(
            log=str(path),
            size_bytes=self.size,
            lines=self.lines,
            kernels=len(self.retries),
            checksummed=self.checksummed,
            plain=self.plain,
            unsettled=self.unsettled,
            duplicates=self.duplicates,
            superseded=self.superseded,
            damaged=self.damaged,
            damages=tuple(self.damages),
            torn_bytes=self.torn,
            tail_whole=self.tail_whole,
            sound=not self.damaged and (self.tail_whole or not self.torn),
        )


def _settled(file: BinaryIO, offset: int) -> bytes:
    """The line at `offset`, the last, after whoever writes it has had time to end it."""
    time.sleep(_SETTLE_S)
    file.seek(offset)
    return file.readline()


def _examined(number: int, offset: int, content: bytes) -> Line:
    row = reason = None
    if content.endswith(b"\n") and content.strip():
        try:
            row = decode_line(content)
        except ValueError as error:
            reason = str(error)
    return Line(number, offset, content, row, reason)
