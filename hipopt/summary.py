"""What a result log says in a few numbers."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from hipopt.errors import LogError
from hipopt.logline import LogLine, decode_line
from hipopt.records import KernelId, Record

BEST = 5


class Winner(Record, frozen=True, kw_only=True):
    """A kernel that became faster."""

    id: KernelId
    name: str
    speedup: float
    emulated: bool
    """True: timed on the emulator, which says nothing about a GPU."""


class Summary(Record, frozen=True, kw_only=True):
    """A log's outcomes."""

    done: int
    succeeded: int
    failures: dict[str, int]
    """Number of kernels by kind of failure, the most frequent first."""
    attempts: dict[str, int]
    """Number of attempts by outcome, over all kernels, the most frequent first."""
    best: tuple[Winner, ...]
    """The greatest speedups, greatest first; at most `BEST`."""
    prompt_tokens: int
    completion_tokens: int


class _Attempt(msgspec.Struct):
    outcome: str


class _Row(msgspec.Struct):
    """The fields that a summary is made of; a row of a script may lack all but the first two."""

    id: KernelId
    status: str
    name: str = ""
    failure_kind: str | None = None
    speedup: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    attempts: tuple[_Attempt, ...] = ()
    judgement: msgspec.Raw = msgspec.Raw(b"null")


_decoder = msgspec.json.Decoder(_Row)


def summarise(log: Path) -> Summary:
    """The outcomes of all kernels in the log, the first final row of each counting.

    Raises:
        LogError: the file can't be read.
    """
    rows = list(_final_rows(log))
    winners = [row for row in rows if row.status == "success" and row.speedup is not None]
    failures = Counter(row.failure_kind or "failure" for row in rows if row.status == "failure")
    attempts = Counter(attempt.outcome for row in rows for attempt in row.attempts)
    return Summary(
        done=len(rows),
        succeeded=sum(row.status == "success" for row in rows),
        failures=dict(failures.most_common()),
        attempts=dict(attempts.most_common()),
        best=tuple(map(_winner, heapq.nlargest(BEST, winners, key=lambda row: row.speedup or 0))),
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        completion_tokens=sum(row.completion_tokens for row in rows),
    )


def _final_rows(log: Path) -> Iterator[_Row]:
    seen: set[KernelId] = set()
    try:
        with log.open("rb") as file:
            for line in file:
                row = _row(line) if line.endswith(b"\n") and line.strip() else None
                if row and row.status in {"success", "failure"} and row.id not in seen:
                    seen.add(row.id)
                    yield row
    except FileNotFoundError:
        return
    except OSError as error:
        raise LogError(f"{log}: can't be read: {error.strerror}") from None


def _row(line: bytes) -> _Row | None:
    """The row, or as much of it as a script wrote in its own way; None: no row at all."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        return _decoder.decode(line)
    with suppress(ValueError):
        plain: LogLine = decode_line(line)
        return _Row(id=plain.id, status=plain.status)
    return None


def _winner(row: _Row) -> Winner:
    judgement: Any = msgspec.json.decode(row.judgement)
    timing = judgement.get("timing") if isinstance(judgement, dict) else None
    return Winner(
        id=row.id,
        name=row.name,
        speedup=row.speedup or 0.0,
        emulated=bool(isinstance(timing, dict) and timing.get("emulated")),
    )
