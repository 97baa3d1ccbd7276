"""`hipopt flower`: the cluster in a browser."""

from __future__ import annotations

import ipaddress
import os
from typing import Any

import click

from hipopt.broker import check_broker
from hipopt.cli.options import BROKER, load_settings, with_settings
from hipopt.worker import child_environ, flower_argv


@click.command("flower")
@click.option("--address", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=5555, show_default=True, help="Port to listen on.")
@with_settings(*BROKER)
def command(address: str, port: int, **options: Any) -> None:  # noqa: ANN401 (click's options)
    """Show workers and tasks in a browser; every task names its kernel and shard.

    Whoever reaches Flower can also stop workers: on a loopback address its REST API is open; on
    others it wants FLOWER_BASIC_AUTH=USER:PASSWORD, which then guards the pages as well.
    """
    settings = load_settings(options)
    check_broker(settings)
    click.echo(f"Flower: http://{address}:{port}", err=True)
    argv = flower_argv(address=address, port=port)
    environ = child_environ(settings)
    if _is_loopback(address):
        environ.setdefault("FLOWER_UNAUTHENTICATED_API", "true")
    os.execve(argv[0], argv, environ)  # noqa: S606 (no shell is wanted)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
