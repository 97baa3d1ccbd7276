"""One line of the result log: what must be on it, its checksum, and which row of a kernel counts.

A row that the collector wrote ends in a key `checksum`, a CRC-32 over the bytes of the line as it
is without that key. It tells damage, not malice. A row that lacks it, as a script writes it, is
taken as it is.
"""

from __future__ import annotations

import json
import re
from typing import Any
from zlib import crc32

import msgspec

from hipopt.records import KernelId

FINAL = frozenset({"success", "failure"})

_KEY = b',"checksum":"crc32:'
_DIGITS_END = len(_KEY) + 8
_SEAL_CHARS = _DIGITS_END + len(b'"}')
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
    judgement: msgspec.Raw = msgspec.Raw()
    """As it stands there: few look into it."""
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
    except (ValueError, RecursionError) as error:
        row = _decode_plain(line, error)
    if type(row.retry) is int and row.retry >= 0:
        return row
    return msgspec.structs.replace(row, retry=0)


def _decode_plain(line: bytes, error: Exception) -> LogLine:
    """Whatever Python's own `json` writes is read too: NaN, and halves of surrogate pairs."""
    try:
        return msgspec.convert(json.loads(line.decode()), LogLine)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError:
        raise ValueError(str(error)) from None


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
    return _seal_at(line) is not None


def check_line(line: bytes) -> None:
    """The line's checksum is right, or it carries none and is UTF-8.

    Raises:
        ValueError: neither.
    """
    at = _seal_at(line)
    if at is None:
        line.decode()  # msgspec does not look at fields that it leaves out
        return
    found = b"%08x" % crc32(b"}", crc32(memoryview(line)[:at]))
    if not line.startswith(found, at + len(_KEY)):
        raise ValueError("its checksum is wrong: it was damaged or changed after it was written")


def _seal_at(line: bytes) -> int | None:
    """Where the checksum's key starts, with its comma; None: there is none."""
    at = len(line) - _SEAL_CHARS - line.endswith(b"\n")
    if at > 0 and line.startswith(_KEY, at) and line.startswith(b'"}', at + _DIGITS_END):
        return at
    return None
