"""What a result log says in a few numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec

from hipopt.errors import LogError
from hipopt.log.line import FINAL, check_line, decode_line
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
    retry: Annotated[int, msgspec.Meta(ge=0)] = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    attempts: tuple[_Attempt, ...] = ()
    judgement: msgspec.Raw = msgspec.Raw(b"null")


_decoder = msgspec.json.Decoder(_Row)


def summarise(log: Path) -> Summary:
    """The outcomes of all kernels in the log, by the rows that count.

    Reads the log a second time only where kernels were retried: until the end it isn't known
    which of their rows counts.

    Raises:
        LogError: the file can't be read.
    """
    retries: dict[KernelId, int] = {}
    totals = _total(log, retries)
    return (_total(log, retries) if retries else totals).summary()


class _Totals:
    """Sums, while the rows that count stream by."""

    def __init__(self) -> None:
        self._done = self._succeeded = self._prompt_tokens = self._completion_tokens = 0
        self._failures: Counter[str] = Counter()
        self._attempts: Counter[str] = Counter()
        self._best: list[Winner] = []

    def add(self, row: _Row) -> None:
        self._done += 1
        self._prompt_tokens += row.prompt_tokens
        self._completion_tokens += row.completion_tokens
        self._attempts.update(attempt.outcome for attempt in row.attempts)
        if row.status == "failure":
            self._failures[row.failure_kind or "failure"] += 1
            return
        self._succeeded += 1
        if row.speedup is not None and (
            len(self._best) < BEST or row.speedup > self._best[-1].speedup
        ):
            self._best.append(_winner(row, row.speedup))
            self._best.sort(key=lambda winner: -winner.speedup)
            del self._best[BEST:]

    def summary(self) -> Summary:
        return Summary(
            done=self._done,
            succeeded=self._succeeded,
            failures=dict(self._failures.most_common()),
            attempts=dict(self._attempts.most_common()),
            best=tuple(self._best),
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
        )


def _total(log: Path, retries: dict[KernelId, int]) -> _Totals:
    """Totals over each kernel's first row of the retry that `retries` says, 0 where it doesn't.

    Afterwards `retries` holds the highest of every kernel that was retried.
    """
    totals = _Totals()
    asked = dict(retries)
    seen: set[KernelId] = set()
    for row in _final_rows(log):
        if row.retry > retries.get(row.id, 0):
            retries[row.id] = row.retry
        if row.retry == asked.get(row.id, 0) and row.id not in seen:
            seen.add(row.id)
            totals.add(row)
    return totals


def _final_rows(log: Path) -> Iterator[_Row]:
    try:
        with log.open("rb", buffering=1 << 20) as file:
            for line in file:
                row = _row(line) if line.endswith(b"\n") and line.strip() else None
                if row and row.status in FINAL:
                    yield row
    except FileNotFoundError:
        return
    except OSError as error:
        raise LogError(f"{log}: can't be read: {error.strerror}") from None


def _row(line: bytes) -> _Row | None:
    """The row, or as much of it as a script wrote in its own way; None: no row at all."""
    try:
        check_line(line)
        return _decoder.decode(line)
    except (ValueError, RecursionError):
        pass
    try:
        plain = decode_line(line)
    except ValueError:
        return None
    return _Row(id=plain.id, status=plain.status, retry=plain.retry)


def _winner(row: _Row, speedup: float) -> Winner:
    judgement: Any = msgspec.json.decode(row.judgement)
    timing = judgement.get("timing") if isinstance(judgement, dict) else None
    return Winner(
        id=row.id,
        name=row.name,
        speedup=speedup,
        emulated=bool(isinstance(timing, dict) and timing.get("emulated")),
    )
