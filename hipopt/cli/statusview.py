"""A status as a person reads it: what is done, how fast, by whom, and what is in the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hipopt.broker.cluster import BrokerStatus, RunningKernel, WorkerStatus
from hipopt.broker.troubles import Noted
from hipopt.messages import queue_shard
from hipopt.rates import RECENT_S
from hipopt.status import ShardStatus, Speedups, Status

MOST_SHARDS = 16
FEWEST_SHARDS = 3
OTHER_LINES = 28
"""What a status of a few workers and failures needs besides its shards."""
MOST_WORKERS = 24
MOST_TROUBLES = 4
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


def view(status: Status, lines: int | None = None) -> Group:
    """All of it; what isn't known is left out, and why is said in one line.

    Args:
        status: to show.
        lines: of the terminal; the list of shards leaves room for the rest. None: no limit.
    """
    shards = MOST_SHARDS if lines is None else max(lines - OTHER_LINES, FEWEST_SHARDS)
    parts = [*_log_part(status, min(shards, MOST_SHARDS)), *_broker_part(status)]
    return Group(*parts, Text(), Text(_last_line(status), style="dim"))


def duration(seconds: float) -> str:
    """A length of time in its two largest units, the second left out where it is 0 or tells little.

    300 s are "5 min", 3,725 s "1 h 2 min", 200,000 s "2 days 7 h".
    """
    s = round(seconds)
    if s < MINUTE_S:
        return f"{s} s"
    if s < HOUR_S:
        return _units(s // MINUTE_S, "min", s % MINUTE_S if s < 10 * MINUTE_S else 0, "s")
    if s < 2 * DAY_S:
        return _units(s // HOUR_S, "h", s % HOUR_S // MINUTE_S, "min")
    return _units(s // DAY_S, "days", s % DAY_S // HOUR_S, "h")


def _units(large: int, name: str, small: int, small_name: str) -> str:
    return f"{large} {name}" + (f" {small} {small_name}" if small else "")


def _log_part(status: Status, most_shards: int) -> Iterator[RenderableType]:
    if status.log is None:
        yield Text(f"log: {status.log_error}", style="yellow")
        return
    title = Text(status.log, style="bold")
    if status.manifest:
        title.append(f"  of {status.manifest}", style="not bold dim")
    yield title
    yield _overall(status)
    yield Text(_pace(status))
    yield Text()
    if status.shards:
        yield _shard_table(status, most_shards)
        yield Text()
    if status.done:
        yield _outcomes(status)
        yield Text()
    if status.bad_lines:
        yield Text(f"{status.bad_lines} lines of the log are no rows: hipopt log verify", "red")
    if status.set_aside:
        files = ", ".join(f"{_plural(n, 'line')} in {name}" for name, n in status.set_aside.items())
        yield Text(f"set aside beside the log: {files}", "yellow")


def _overall(status: Status) -> RenderableType:
    done, total = status.done or 0, status.total
    if total is None:
        return Text(f"{done:,} kernels done (how many there are, the next dispatch tells)")
    grid = Table.grid(padding=(0, 2))
    share = f"{100 * done / total:.1f} %" if total else ""
    text = Text.assemble((f"{done:,}", "bold"), f" of {total:,} kernels", (f"  {share}", "cyan"))
    grid.add_row(_bar(done, total, 44), text)
    return grid


def _pace(status: Status) -> str:
    known = status.rates
    span = duration(known.recent_s)
    parts = []
    if known.recent is not None:
        parts.append(f"{known.recent:.1f} a minute (last {span})")
    if known.overall is not None:
        parts.append(f"{known.overall:.1f} overall in {duration(known.active_s)} of work")
    if status.seconds_left:
        ends = _moment(status.at) + timedelta(seconds=status.seconds_left)
        parts.append(f"{duration(status.seconds_left)} left, until {ends:%a %H:%M} UTC")
    elif status.total is not None and status.total == status.done:
        parts.append("nothing is left")
    elif known.recent == 0.0 and known.recent_s == RECENT_S:
        parts.append("nothing moves" + (f" since {status.last_at}" if status.last_at else ""))
    return "; ".join(parts) or "too early to tell how fast"


def _shard_table(status: Status, most: int) -> RenderableType:
    """Every shard, or where there are many those that are not done, the foremost first."""
    shards = status.shards
    shown = shards
    if len(shards) > most:
        shown = tuple(s for s in shards if s.done != s.total)[:most]
    running = Counter(k.shard for w in _workers(status) for k in w.running)
    table = _table("shard", "", ">done", *(["waiting", "running"] if status.broker else []))
    for shard in shown:
        row: list[RenderableType] = [
            str(shard.number),
            _bar(shard.done, shard.total or 1, 24),
            _count(shard),
        ]
        if status.broker:
            row += [_waiting(status.broker, shard.number), _or_blank(running[shard.number])]
        table.add_row(*row)
    finished = sum(s.done == s.total for s in shards)
    hidden = len(shards) - len(shown)
    if not hidden:
        return table
    return Group(table, Text(f"of {len(shards)} shards, {finished} are done", style="dim"))


def _outcomes(status: Status) -> RenderableType:
    table = _table("outcome", ">kernels", "")
    said = _speedups(status.speedups) if status.speedups else ""
    table.add_row(Text("faster", "green"), f"{status.succeeded or 0:,}", said)
    for kind, count in status.failures.items():
        table.add_row(Text(kind, "red"), f"{count:,}", "")
    return table


def _speedups(found: Speedups) -> str:
    where = {True: " (CPU time of the emulator; says nothing about a GPU)", False: "", None: ""}
    return (
        f"median {found.median:.2f}x, geometric mean {found.geometric_mean:.2f}x, "
        f"best {found.best:.2f}x{where[found.emulated]}"
    )


def _broker_part(status: Status) -> Iterator[RenderableType]:
    if status.broker is None:
        yield Text(f"broker away: {status.broker_error}", style="yellow")
        return
    broker = status.broker
    if broker.workers:
        yield _worker_table(broker.workers)
    else:
        yield Text("workers: none answers (start one: hipopt worker)", style="yellow")
    yield from _unserved(broker)
    yield Text()
    yield _queues(broker)
    if broker.rejected:
        said = f"{_plural(broker.rejected, 'message')} set aside that hipopt did not send"
        yield Text(f"{said}: hipopt doctor says where", "yellow")
    if broker.troubles:
        yield Text()
        yield _trouble_table(broker.troubles, status.at)


def _worker_table(workers: tuple[WorkerStatus, ...]) -> RenderableType:
    table = _table("worker", "device", ">busy", ">up", "longest running")
    for worker in workers[:MOST_WORKERS]:
        table.add_row(
            worker.name, worker.arch or worker.device, f"{len(worker.running)}/{worker.slots}",
            duration(worker.up_s), _longest(worker.running),
        )  # fmt: skip
    slots = sum(worker.slots for worker in workers)
    busy = sum(len(worker.running) for worker in workers)
    hosts = len({worker.host for worker in workers})
    if len(workers) == 1:
        return table
    total = f"{len(workers)} workers on {_plural(hosts, 'host')}, {busy} of {slots} slots busy"
    return Group(table, Text(total, style="dim"))


def _unserved(broker: BrokerStatus) -> Iterator[Text]:
    """GPUs out of service, and kernels that wait for GPUs that no worker has."""
    out = dict.fromkeys((w.host, gpu) for w in broker.workers for gpu in w.out_of_service)
    for host, gpu in out:
        yield Text(f"out of service on {host}: {gpu}", "red")
    waiting: Counter[str] = Counter()
    for queue, count in broker.queues.items():
        arch = (queue_shard(queue) or (0, None))[1]
        if arch is not None:
            waiting[arch] += count
    for arch in sorted(set(+waiting) - {worker.arch for worker in broker.workers}):
        said = f"{_plural(waiting[arch], 'kernel')} for {arch}, and no worker has such a GPU"
        yield Text(f"waiting: {said}", "yellow")


def _longest(running: tuple[RunningKernel, ...]) -> Text:
    if not running:
        return Text("idle", style="dim")
    first = running[0]
    return Text(f"{first.id} {first.name:.40}, {duration(first.seconds)}")


def _queues(broker: BrokerStatus) -> Text:
    running = sum(len(worker.running) for worker in broker.workers)
    text = Text(
        f"queues: {broker.waiting:,} kernels wait, {running:,} run, "
        f"{_plural(broker.results, 'result')} {'wait' if broker.results != 1 else 'waits'}"
    )
    if broker.held > running:
        text.append(f"; {broker.held - running} more held", style="dim")
    text.append("\ncollector: ")
    if broker.collector:
        text.append(broker.collector)
    elif broker.results:
        text.append("none known; results wait (start one: hipopt collect)", style="yellow")
    else:
        text.append("none known", style="dim")
    return text


def _trouble_table(troubles: tuple[Noted, ...], at: str) -> RenderableType:
    table = _table("trouble", ">times", "latest", "worker", "")
    for trouble in troubles[:MOST_TROUBLES]:
        ago = (_moment(at) - _moment(trouble.last_at)).total_seconds()
        table.add_row(
            Text(trouble.kind, "yellow"), str(trouble.count), f"{duration(max(ago, 0))} ago",
            trouble.worker.rpartition("@")[2], Text(" ".join(trouble.message.split())[:200]),
        )  # fmt: skip
    return table


def _last_line(status: Status) -> str:
    broker = status.broker
    waits = status.total is not None and (status.done or 0) < status.total
    if waits and broker is not None and not (broker.waiting or broker.held):
        return "Nothing is on its way. Next: hipopt dispatch"
    if status.total is not None and status.done == status.total:
        return "Nothing is left to do."
    return f"{_moment(status.at):%Y-%m-%d %H:%M:%S} UTC; to keep looking: hipopt status --watch"


def _table(*columns: str) -> Table:
    """A plain table; `>` before a heading sets its column flush right."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for column in columns:
        name = column.lstrip(">")
        is_number = column.startswith(">") or name in {"waiting", "running"}
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    return table


def _bar(done: int, total: int, width: int) -> ProgressBar:
    return ProgressBar(
        total=max(total, 1), completed=done, width=width,
        complete_style="cyan", finished_style="green",
    )  # fmt: skip


def _count(shard: ShardStatus) -> str:
    return f"{shard.done:,}" if shard.total is None else f"{shard.done:,}/{shard.total:,}"


def _waiting(broker: BrokerStatus, shard: int) -> str:
    """How many wait in the shard's queue, whatever the namespace is."""
    shards = ((queue_shard(queue), count) for queue, count in broker.queues.items())
    return _or_blank(sum(count for found, count in shards if found and found[0] == shard))


def _or_blank(count: int) -> str:
    return f"{count:,}" if count else ""


def _workers(status: Status) -> tuple[WorkerStatus, ...]:
    return status.broker.workers if status.broker else ()


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"
