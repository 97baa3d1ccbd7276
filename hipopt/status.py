"""How a run stands: what the log says, and what the broker adds to it.

The log and its plan are enough; a broker that is away costs the queue depths and the workers.
"""

from __future__ import annotations

from collections import Counter

from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from hipopt import queues
from hipopt.broker import check_broker, connect, make_app
from hipopt.errors import BrokerError, UsageError
from hipopt.logreader import LogReader
from hipopt.messages import result_queue
from hipopt.plan import read_plan
from hipopt.records import Record
from hipopt.settings import Settings

PING_S = 1.0
"""How long workers have to answer."""


class ShardStatus(Record, frozen=True, kw_only=True):
    """One shard."""

    number: int
    done: int
    total: int | None
    """None: the plan is not at hand."""


class BrokerStatus(Record, frozen=True, kw_only=True):
    """What the broker holds now."""

    queues: dict[str, int]
    """Messages that wait, by queue."""
    held: int
    """Messages that a worker or collector works on."""
    workers: tuple[str, ...]


class Status(Record, frozen=True, kw_only=True):
    """A run at one moment."""

    log: str
    total: int | None
    """Kernels of the manifest at the last dispatch; None: there was none."""
    done: int
    succeeded: int
    failures: dict[str, int]
    """Failed kernels by kind, the most frequent first; `unknown` where a row names none."""
    shards: tuple[ShardStatus, ...]
    bad_lines: int
    duplicates: int
    broker: BrokerStatus | None
    """None: it can't be reached, see `broker_error`."""
    broker_error: str | None = None


def gather(settings: Settings) -> Status:
    """The status of the run whose log the settings name. Writes nothing.

    Raises:
        UsageError: no log is named.
        LogError: it is there but can't be read.
    """
    if settings.log is None:
        raise UsageError("no log given: name it with --log or HIPOPT_LOG")
    reader = LogReader(settings.log, skip_bad=True)
    reader.poll()
    plan = read_plan(settings.log)
    rows = reader.rows.values()
    failures = Counter(str(r.failure_kind or "unknown") for r in rows if r.status == "failure")
    shards: tuple[ShardStatus, ...] = ()
    if plan is not None:
        done = Counter(map(plan.shard_plan.shard_of, reader.rows))
        shards = tuple(
            ShardStatus(number=s.number, done=done[s.number], total=s.count) for s in plan.shards
        )
    broker, broker_error = _broker(settings)
    return Status(
        log=str(settings.log),
        total=plan.kernels if plan else None,
        done=len(rows),
        succeeded=sum(row.status == "success" for row in rows),
        failures=dict(failures.most_common()),
        shards=shards,
        bad_lines=reader.bad_lines,
        duplicates=reader.duplicates,
        broker=broker,
        broker_error=broker_error,
    )


def _broker(settings: Settings) -> tuple[BrokerStatus | None, str | None]:
    namespace = settings.namespace
    try:
        check_broker(settings)
        with connect(settings, timeout_s=3.0) as client:
            names = [*queues.registered(client, namespace), result_queue(namespace)]
            status = BrokerStatus(
                queues=queues.depths(client, names),
                held=queues.held_count(client, namespace),
                workers=_workers(settings),
            )
    except BrokerError as error:
        return None, str(error)
    except (RedisError, KombuError, OSError) as error:
        return None, f"the broker went away while it was asked: {error}"
    return status, None


def _workers(settings: Settings) -> tuple[str, ...]:
    with make_app(settings) as app:
        replies = app.control.ping(timeout=PING_S)
    return tuple(sorted(name for reply in replies for name in reply))
