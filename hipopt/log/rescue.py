"""What can be saved of a damaged line: the whole rows on it, where they can be told apart for sure.

A row is sure if its checksum says so, wherever on the line it stands; or if all of a piece, from
the line's start or a sure row's end to the line's end or the next sure row, is whole rows. NULs and
white space between rows, as a crash or a lost newline leaves them, belong to nobody.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from hipopt.log.line import SEAL, is_row

_BETWEEN = b"\0 \t\r\n"
_START = b'{"id":'
_MOST_STARTS = 1000
"""Of one row: rows that hold this many objects with an `id` are not looked for."""
_json = json.JSONDecoder()


def rescue(line: bytes) -> list[bytes]:
    """The whole rows on a damaged line, in order, without newlines."""
    rows: list[bytes] = []
    end = 0
    for start, stop in _sealed_rows(line):
        rows += _plain_rows(line[end:start])
        rows.append(line[start:stop])
        end = stop
    return rows + _plain_rows(line[end:])


def _sealed_rows(line: bytes) -> Iterator[tuple[int, int]]:
    """Where rows with a right checksum stand."""
    free = 0
    for seal in SEAL.finditer(line):
        for start in _starts(line, free, seal.end()):
            if is_row(line[start : seal.end()]):
                yield start, seal.end()
                free = seal.end()
                break


def _starts(line: bytes, low: int, high: int) -> Iterator[int]:
    """Where a row that ends at `high` may start, the nearest first."""
    for _ in range(_MOST_STARTS):
        high = line.rfind(_START, low, high)
        if high < 0:
            return
        yield high


def _plain_rows(piece: bytes) -> list[bytes]:
    """The rows that the piece consists of; none, if anything else is in it."""
    try:
        text = piece.strip(_BETWEEN).decode()
    except UnicodeDecodeError:
        return []
    rows: list[bytes] = []
    at = 0
    while at < len(text):
        try:
            _, end = _json.raw_decode(text, at)
        except (ValueError, RecursionError):
            return []
        row = text[at:end].encode()
        if not is_row(row):
            return []
        rows.append(row)
        at = end + len(text[end:]) - len(text[end:].lstrip("\0 \t\r\n"))
    return rows
