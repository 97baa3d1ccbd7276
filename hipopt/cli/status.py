"""`hipopt status`: how far a run is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from hipopt.cli.options import BROKER, load_settings, with_settings
from hipopt.cli.statusview import view
from hipopt.status import Status, Watch
from hipopt.stopping import stop_on_signals

WATCH_S = 2.0
PLAIN_COLUMNS = 120
"""Width where there is no terminal."""


@click.command("status")
@click.option(
    "--watch", type=click.FloatRange(0.5), is_flag=False, flag_value=WATCH_S, metavar="[SECONDS]",
    help=f"Show it anew every SECONDS (default {WATCH_S:g}) until stopped; in place on a terminal.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, and with --watch "
              "one a line.")  # fmt: skip
@with_settings("log", *BROKER)
def command(watch: float | None, as_json: bool, **options: Any) -> int:  # noqa: ANN401 (click's)
    """Show what is done, from the log, and what waits and runs, from the broker and its workers.

    Either is enough: without the broker it shows what the log says, and on a host without the log
    what the broker says. It writes nothing and may be run as often as you like, anywhere.

    The fields of --json are told in docs/watching.md. Exit code 1: neither log nor broker is there.
    """
    observer = Watch(load_settings(options))
    status = observer.look()
    show = _show_json if as_json else _show
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_COLUMNS)
    if watch is None:
        show(status, console)
    elif as_json or not console.is_terminal:
        status = _repeat(observer, status, watch, lambda new: show(new, console))
    else:
        with Live(console=console, auto_refresh=False) as live:
            status = _repeat(
                observer,
                status,
                watch,
                lambda new: live.update(view(new, console.height), refresh=True),
            )
    return int(status.log is None and status.broker is None)


def _repeat(
    observer: Watch, status: Status, every_s: float, show: Callable[[Status], None]
) -> Status:
    """Shows it until Ctrl-C, which is how one stops to watch and no failure; the last status.

    Ctrl-C is heard between two looks: in the midst of one, a library may swallow the exception.
    """
    with stop_on_signals() as stop:
        show(status)
        while not stop.wait(every_s):
            status = observer.look()
            show(status)
    return status


def _show(status: Status, console: Console) -> None:
    console.print(view(status))


def _show_json(status: Status, _: Console) -> None:
    click.echo(json.dumps(status.to_json()))
