"""`hipopt dispatch`: a task for every kernel still to do."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from hipopt.broker.app import check_broker
from hipopt.cli.display import Display, summary_text
from hipopt.cli.main import INTERRUPTED
from hipopt.cli.options import BROKER, load_settings, with_manifest, with_settings
from hipopt.dispatch.dispatcher import Dispatcher, DispatchOptions
from hipopt.log.summary import summarise
from hipopt.stopping import stop_on_signals

SHOWN = 3
"""Of the rows that can't be sent, so many are shown."""


@click.command("dispatch")
@with_manifest
@click.option(
    "--only-shard",
    "only_shards",
    type=int,
    multiple=True,
    metavar="N",
    help="Send this shard alone; may be given several times.",
)
@click.option(
    "--retry",
    multiple=True,
    metavar="KIND",
    help="Do kernels again that failed in this way (e.g. timeout), or in any (all); may be given "
    "several times.",
)
@click.option("--limit", type=click.IntRange(1), help="Send this many kernels at most.")
@click.option("--detach", is_flag=True, help="Send everything at once and don't wait for it.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Check every row and say what would be sent; send nothing. Needs no broker.",
)
@with_settings("log", "shards", "arch", *BROKER)
def command(
    manifest: Path | None, only_shards: tuple[int, ...], retry: tuple[str, ...],
    limit: int | None, detach: bool, dry_run: bool, **options: Any,  # noqa: ANN401 (click's options)
) -> int:  # fmt: skip
    """Send a task for every kernel of MANIFEST that the log lacks, and watch until all are done.

    Run it again whenever you like: kernels that are done or on their way are not sent again.
    """
    settings = load_settings({"manifest": manifest, **options})
    chosen = DispatchOptions(only_shards=only_shards, retry=retry, limit=limit, wait=not detach)
    dispatcher = Dispatcher(settings, chosen)
    todo, log = dispatcher.todo, dispatcher.log_path
    click.echo(
        f"{todo.waiting} of {todo.total} kernels to do, in {len(dispatcher.queues)} shards",
        err=True,
    )
    if dry_run:
        return _dry_run(dispatcher)
    if todo.unfinished:
        check_broker(settings)
        with stop_on_signals() as stop, Display(todo.waiting, todo.total) as display:
            dispatcher.run(display.progress, stop, display.row)
        if stop.is_set():
            click.echo(
                "Stopped watching. What was sent goes on; dispatch again to watch.", err=True
            )
            return INTERRUPTED
        if detach:
            click.echo(f"{todo.on_their_way} kernels on their way. Next: hipopt status", err=True)
            return _told(dispatcher.bad_rows)
    ended, bad = dispatcher.progress(), dispatcher.bad_rows
    del dispatcher, todo  # of a million kernels, this and the summary would take a lot of memory
    again = shlex.join(["hipopt", "dispatch", str(settings.manifest), "--log", str(log)])
    click.echo(summary_text(summarise(log), ended.total, log, again))
    return _told(bad) or int(ended.given_up > 0)


def _dry_run(dispatcher: Dispatcher) -> int:
    """What would be sent is said, shard by shard."""
    if not dispatcher.dry_run():
        click.echo("the broker does not answer: what is on its way is counted as waiting", err=True)
    todo = dispatcher.todo
    counts = zip(todo.shards_waiting, todo.shards_sent, todo.shards_done, strict=True)
    for shard, (waiting, sent, done) in zip(dispatcher.plan.shards, counts, strict=True):
        click.echo(
            f"shard {shard.number}: {waiting} to send, {sent} on their way, {done} done; "
            f"{shard.count} ids, {shard.first_id!r} to {shard.last_id!r}"
        )
    return _told(dispatcher.bad_rows)


def _told(bad: list[str]) -> int:
    """The rows that can't be sent are told once more; 1: there are such."""
    for text in bad[:SHOWN]:
        click.echo(f"hipopt: {text}", err=True)
    if len(bad) > SHOWN:
        click.echo(f"hipopt: and {len(bad) - SHOWN} more rows that can't be sent", err=True)
    return int(bool(bad))
