"""`hipopt status`: how far a run is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import click

from hipopt.cli.options import BROKER, load_settings, with_settings
from hipopt.status import BrokerStatus, Status, gather

WATCH_S = 2.0


@click.command("status")
@click.option("--watch", is_flag=True, help="Show it anew every two seconds until stopped.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_settings("log", *BROKER)
def command(watch: bool, as_json: bool, **options: Any) -> None:  # noqa: ANN401 (click's options)
    """Show what is done, from the log, and what is on its way, from the broker."""
    settings = load_settings(options)
    while True:
        status = gather(settings)
        if watch and not as_json:
            click.clear()
        click.echo(json.dumps(status.to_json()) if as_json else "\n".join(_lines(status)))
        if not watch:
            return
        time.sleep(WATCH_S)


def _lines(status: Status) -> Iterator[str]:
    total = "" if status.total is None else f" of {status.total}"
    yield f"{status.log}: {status.done}{total} kernels done, {status.succeeded} faster"
    for kind, count in status.failures.items():
        yield f"  {kind:18} {count:6}"
    for shard in status.shards:
        share = shard.done / shard.total if shard.total else 0
        yield f"  shard {shard.number:3}  {_bar(share)} {shard.done}/{shard.total}"
    if status.bad_lines:
        yield f"  {status.bad_lines} lines are no rows: look at the log before you go on"
    if status.broker is None:
        yield f"broker: {status.broker_error}"
    else:
        yield from _broker_lines(status.broker)


def _broker_lines(broker: BrokerStatus) -> Iterator[str]:
    waiting = sum(broker.queues.values())
    yield f"broker: {waiting} messages wait, {broker.held} are worked on"
    workers = ", ".join(broker.workers) or "none (start one: hipopt worker)"
    yield f"workers: {workers}"


def _bar(share: float, width: int = 20) -> str:
    filled = round(share * width)
    return "#" * filled + "." * (width - filled)
