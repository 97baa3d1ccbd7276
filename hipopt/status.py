"""How a run stands: what the log says, and what broker and workers add to it.

Either is enough. A broker that is away costs queue depths and workers; on a host without the log,
the broker tells what waits and runs. Writes nothing anywhere.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from hipopt.broker.cluster import BrokerStatus, ask
from hipopt.dispatch.plan import Plan, plan_path, read_plan
from hipopt.errors import BrokerError, LogError
from hipopt.log.file import set_aside
from hipopt.log.line import LogLine
from hipopt.log.reader import LogReader
from hipopt.rates import Rates, rates, seconds_left
from hipopt.records import KernelId, Record
from hipopt.settings import Settings

SCHEMA = 1
"""Of `hipopt status --json`. 1: the first. Fields are added, never renamed or dropped."""


class ShardStatus(Record, frozen=True, kw_only=True):
    """One shard."""

    number: int
    done: int
    total: int | None
    """None: the plan is not at hand."""


class Speedups(Record, frozen=True, kw_only=True):
    """The speedups of the kernels that became faster."""

    count: int
    median: float
    geometric_mean: float
    best: float
    emulated: bool | None
    """True: CPU time of the emulator, which says nothing about a GPU. None: no telling."""


class Status(Record, frozen=True, kw_only=True):
    """A run at one moment. Without the log, all that it would tell is None or empty."""

    at: str
    """UTC, ISO 8601."""
    log: str | None = None
    """None: it is not at hand, see `log_error`."""
    log_error: str | None = None
    manifest: str | None = None
    """As the last dispatch named it; None: there was none."""
    total: int | None = None
    """Kernels of the manifest at the last dispatch; None: there was none."""
    done: int | None = None
    succeeded: int | None = None
    failures: dict[str, int] = msgspec.field(default_factory=dict)
    """Failed kernels by kind, the most frequent first; `unknown` where a row names none."""
    shards: tuple[ShardStatus, ...] = ()
    rates: Rates = Rates()
    seconds_left: float | None = None
    """At the present pace; None: there is no telling."""
    speedups: Speedups | None = None
    """None: nothing became faster."""
    last_at: str | None = None
    """When the latest kernel was finished, UTC, ISO 8601."""
    bad_lines: int = 0
    """Lines of the log that are no rows."""
    duplicates: int = 0
    """Rows of kernels that had one already that counts."""
    superseded: int = 0
    """Rows that counted until their kernel was done again."""
    set_aside: dict[str, int] = msgspec.field(default_factory=dict)
    """Lines in each file beside the log of what was torn, damaged or no result, by its name."""
    broker: BrokerStatus | None = None
    """None: it can't be reached, see `broker_error`."""
    broker_error: str | None = None
    schema: int = SCHEMA


class Tally:
    """The rows of a log that count, as much of them as a status needs."""

    def __init__(self, log: Path) -> None:
        self.reader = LogReader(log, skip_bad=True)
        self.finished: dict[KernelId, float] = {}
        """When, in seconds since 1970; of rows that tell."""
        self.speedups: dict[KernelId, float] = {}
        """Of kernels that became faster; rows of scripts may lack it."""

        self.emulated: bool | None = None
        """Whether some of those are times of the emulator; None: no row tells."""

    def read_on(self) -> None:
        """What was appended is counted; a log that was replaced is counted anew.

        Raises:
            LogError: it can't be read.
        """
        for row in self.reader.read_on():
            if len(self.reader.rows) == 1:
                self._forget()
            self._take(row)
        if not self.reader.rows:
            self._forget()

    def _take(self, row: LogLine) -> None:
        moment = _moment(row.finished_at)
        speedup = _positive(row.speedup) if row.status == "success" else None
        _put(self.finished, row.id, moment)
        _put(self.speedups, row.id, speedup)
        if speedup is not None and not self.emulated and (told := _emulated(row)) is not None:
            self.emulated = told

    def _forget(self) -> None:
        self.finished.clear()
        self.speedups.clear()
        self.emulated = None


class Watch:
    """Looks at a run as often as wanted; looking again at the log costs what was appended.

    Args:
        settings: name log and broker. Where no log is named, or it isn't on this host, only the
            broker is asked.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tally = Tally(settings.log) if settings.log else None

    def look(self) -> Status:
        """The status now.

        Raises:
            LogError: the log is there but can't be read.
        """
        now = time.time()
        broker, broker_error = self._broker()
        return Status(
            at=_iso(now),
            broker=broker,
            broker_error=broker_error,
            **self._log(now),
        )

    def _log(self, now: float) -> dict[str, Any]:
        """The log's part of a status."""
        if self._tally is None:
            return {"log_error": "no log given: name it with --log or HIPOPT_LOG"}
        self._tally.read_on()
        path = self._tally.reader.path
        if not path.exists() and not plan_path(path).exists():
            return {"log_error": f"{path}: not on this host"}
        return _log_part(self._tally, read_plan(path), now) | {"set_aside": _set_aside(path)}

    def _broker(self) -> tuple[BrokerStatus | None, str | None]:
        try:
            return ask(self._settings), None
        except BrokerError as error:
            return None, str(error)


def gather(settings: Settings) -> Status:
    """The status of the run whose log and broker the settings name.

    Raises:
        LogError: the log is there but can't be read.
    """
    return Watch(settings).look()


def _log_part(tally: Tally, plan: Plan | None, now: float) -> dict[str, Any]:
    reader = tally.reader
    rows = reader.rows.values()
    failures = Counter(str(r.failure_kind or "unknown") for r in rows if r.status == "failure")
    pace = rates(tally.finished.values(), now)
    return {
        "log": str(reader.path),
        "manifest": plan.manifest if plan else None,
        "total": plan.kernels if plan else None,
        "done": len(rows),
        "succeeded": sum(row.status == "success" for row in rows),
        "failures": dict(failures.most_common()),
        "shards": _shards(reader, plan),
        "rates": pace,
        "seconds_left": seconds_left(plan.kernels - len(rows) if plan else None, pace),
        "speedups": _speedups(tally.speedups.values(), tally.emulated),
        "last_at": _iso(max(tally.finished.values())) if tally.finished else None,
        "bad_lines": reader.bad_lines,
        "duplicates": reader.duplicates,
        "superseded": reader.superseded,
    }


def _set_aside(log: Path) -> dict[str, int]:
    try:
        return set_aside(log)
    except OSError as error:
        raise LogError(f"{error.filename}: can't be read: {error.strerror}") from None


def _shards(reader: LogReader, plan: Plan | None) -> tuple[ShardStatus, ...]:
    if plan is None:
        return ()
    done = Counter(map(plan.shard_plan.shard_of, reader.rows))
    return tuple(
        ShardStatus(number=s.number, done=done[s.number], total=s.count) for s in plan.shards
    )


def _speedups(found: Collection[float], emulated: bool | None) -> Speedups | None:
    if not found:
        return None
    return Speedups(
        count=len(found),
        median=statistics.median(found),
        geometric_mean=statistics.geometric_mean(found),
        best=max(found),
        emulated=emulated,
    )


class _Timing(msgspec.Struct):
    emulated: bool | None = None


class _Judgement(msgspec.Struct):
    timing: _Timing | None = None


_judgement = msgspec.json.Decoder(_Judgement)


def _emulated(row: LogLine) -> bool | None:
    """Whether the row's times are the emulator's; None: it doesn't tell."""
    try:
        timing = _judgement.decode(row.judgement).timing
    except ValueError:  # there is none, or a script wrote something else
        return None
    return timing.emulated if timing is not None else None


def _put(values: dict[KernelId, float], kernel_id: KernelId, value: float | None) -> None:
    """The value stands there, or, where there is none, nothing."""
    if value is None:
        values.pop(kernel_id, None)
    else:
        values[kernel_id] = value


def _positive(value: Any) -> float | None:  # noqa: ANN401 (whatever a script wrote)
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _moment(text: Any) -> float | None:  # noqa: ANN401 (whatever a script wrote)
    """Seconds since 1970; None: it is no time."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
