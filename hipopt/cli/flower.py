"""`hipopt flower`: the cluster in a browser."""

from __future__ import annotations

import os
from typing import Any

import click

from hipopt.broker.app import check_broker
from hipopt.cli.options import BROKER, load_settings, with_settings
from hipopt.flowerdoor import VARIABLE, flower_environ, login_file
from hipopt.worker import child_environ, flower_argv


@click.command("flower")
@click.option("--address", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=5555, show_default=True, help="Port to listen on.")
@click.option("--no-password", is_flag=True, help="Show the pages to anybody, and close the API.")
@with_settings("cache_dir", *BROKER)
def command(address: str, port: int, no_password: bool, **options: Any) -> None:  # noqa: ANN401
    """Show workers and tasks in a browser; every task names its kernel and shard.

    Whoever gets into Flower can also stop workers, so it wants a user and a password, on a loopback
    address too: those of FLOWER_BASIC_AUTH=USER:PASSWORD, or some that are made up and kept.
    """
    settings = load_settings(options)
    environ = flower_environ(child_environ(settings), settings.cache_dir, open_pages=no_password)
    check_broker(settings)
    if no_password:
        who = "no password wanted: anybody who reaches it sees it; its API is closed"
    elif os.environ.get(VARIABLE):
        who = f"user and password as in {VARIABLE}"
    else:
        who = f"USER:PASSWORD are in {login_file(settings.cache_dir)}"
    click.echo(f"Flower: http://{address}:{port}  ({who})", err=True)
    argv = flower_argv(address=address, port=port)
    os.execve(argv[0], argv, environ)  # noqa: S606 (no shell is wanted)
