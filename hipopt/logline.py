"""One line of the result log: what must be on it, its checksum, and which row of a kernel counts.

A row that the collector wrote ends in a key `checksum`, a CRC-32 over the bytes of the line as it
is without that key. It tells damage, not malice. A row that lacks it, as a script writes it, is
taken as it is.
"""

from __future__ import annotations

import re
from typing import Any
from zlib import crc32

import msgspec

from hipopt.records import KernelId

FINAL = frozenset({"success", "failure"})

_KEY = b',"checksum":"crc32:'
_DIGITS_CHARS = 8 + len(b'"}')
_SEAL_CHARS = len(_KEY) + _DIGITS_CHARS
SEAL = re.compile(re.escape(_KEY) + rb'[0-9a-f]{8}"}')
"""The end of a row that carries a checksum, right or wrong."""


class LogLine(msgspec.Struct, frozen=True, gc=False):
    """What is read of a row; all else stays on disk."""

    id: KernelId
    status: str
    failure_kind: Any = None
    """A `records.FailureKind`, or whatever a script wrote there."""
    name: Any = None
    speedup: Any = None
    finished_at: Any = None
    retry: Any = 0
    """An int, 0 or more, once `decode_line` has read it: how often the kernel was done again."""

    @property
    def final(self) -> bool:
        """Whether the row settles its kernel."""
        return self.status in FINAL


_decoder = msgspec.json.Decoder(LogLine)


def decode_line(line: bytes) -> LogLine:
    """The row on one line, with or without its newline.

    Raises:
        ValueError: it is no JSON object with an `id` (int or string) and a `status` (string), or
            its checksum is not that of its bytes.
    """
    check_line(line)
    try:
        row = _decoder.decode(line)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if type(row.retry) is int and row.retry >= 0:
        return row
    return msgspec.structs.replace(row, retry=0)


def is_row(line: bytes) -> bool:
    """Whether `decode_line` can read it."""
    try:
        decode_line(line)
    except ValueError:
        return False
    return True


def supersedes(retry: int, held: int | None) -> bool:
    """Whether a final row counts in place of the one held: the one rule of all who read or write.

    The highest `retry` of a kernel counts, among equals the first.

    Args:
        retry: of the row that comes later in the log, or arrives later at the collector.
        held: `retry` of the row that counted so far; None: the kernel had none.
    """
    return held is None or retry > held


def seal(row: bytes) -> bytes:
    """The row with its checksum.

    Args:
        row: one JSON object that is not empty, without spaces after it.
    """
    return b'%s%s%08x"}' % (row[:-1], _KEY, crc32(row))


def is_sealed(line: bytes) -> bool:
    """Whether the line, with or without its newline, carries a checksum, right or wrong."""
    end = _end(line)
    return line[end - _SEAL_CHARS : end - _DIGITS_CHARS] == _KEY and line[end - 2 : end] == b'"}'


def check_line(line: bytes) -> None:
    """The line's checksum is right, or it carries none and is UTF-8.

    Raises:
        ValueError: neither.
    """
    if not is_sealed(line):
        line.decode()  # msgspec does not look at fields that it leaves out
        return
    end = _end(line)
    found = crc32(b"}", crc32(memoryview(line)[: end - _SEAL_CHARS]))
    if line[end - _DIGITS_CHARS : end - 2] != b"%08x" % found:
        raise ValueError("its checksum is wrong: it was damaged or changed after it was written")


def _end(line: bytes) -> int:
    """Where the newline is, or would be."""
    return len(line) - line.endswith(b"\n")
