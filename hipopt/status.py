"""How a run stands: what the log says, and what broker and workers add to it.

Either is enough. A broker that is away costs queue depths and workers; on a host without the log,
the broker tells what waits and runs. Writes nothing anywhere.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import msgspec

from hipopt.cluster import BrokerStatus, ask
from hipopt.errors import BrokerError
from hipopt.logreader import LogLine, LogReader
from hipopt.plan import Plan, plan_path, read_plan
from hipopt.rates import Rates, rates, seconds_left
from hipopt.records import Record
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
    """Rows of kernels that had one already."""
    broker: BrokerStatus | None = None
    """None: it can't be reached, see `broker_error`."""
    broker_error: str | None = None
    schema: int = SCHEMA


class Watch:
    """Looks at a run as often as wanted; looking again at the log costs what was appended.

    Args:
        settings: name log and broker. Where no log is named, or it isn't on this host, only the
            broker is asked.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reader = LogReader(settings.log, skip_bad=True) if settings.log else None

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
        if self._reader is None:
            return {"log_error": "no log given: name it with --log or HIPOPT_LOG"}
        self._reader.poll()
        path = self._reader.path
        if not path.exists() and not plan_path(path).exists():
            return {"log_error": f"{path}: not on this host"}
        return _log_part(self._reader, read_plan(path), now)

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


def _log_part(reader: LogReader, plan: Plan | None, now: float) -> dict[str, Any]:
    rows = list(reader.rows.values())
    failures = Counter(str(r.failure_kind or "unknown") for r in rows if r.status == "failure")
    finished = [moment for row in rows if (moment := _moment(row)) is not None]
    pace = rates(finished, now)
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
        "speedups": _speedups(rows, plan),
        "last_at": _iso(max(finished)) if finished else None,
        "bad_lines": reader.bad_lines,
        "duplicates": reader.duplicates,
    }


def _shards(reader: LogReader, plan: Plan | None) -> tuple[ShardStatus, ...]:
    if plan is None:
        return ()
    done = Counter(map(plan.shard_plan.shard_of, reader.rows))
    return tuple(
        ShardStatus(number=s.number, done=done[s.number], total=s.count) for s in plan.shards
    )


def _speedups(rows: list[LogLine], plan: Plan | None) -> Speedups | None:
    """Of what became faster, the log's own word; rows of scripts may lack it."""
    found = [_positive(row.speedup) for row in rows if row.status == "success"]
    speedups = [speedup for speedup in found if speedup is not None]
    if not speedups:
        return None
    device = plan.settings.get("device") if plan else None
    return Speedups(
        count=len(speedups),
        median=statistics.median(speedups),
        geometric_mean=statistics.geometric_mean(speedups),
        best=max(speedups),
        emulated=None if device is None else device == "cpu",
    )


def _positive(value: Any) -> float | None:  # noqa: ANN401 (whatever a script wrote)
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _moment(row: LogLine) -> float | None:
    """When the row says that its kernel was finished; None: it doesn't."""
    try:
        moment = datetime.fromisoformat(row.finished_at)
    except (TypeError, ValueError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
