"""`hipopt worker`: judges kernels on this node."""

from __future__ import annotations

import os
from typing import Any

import click

from hipopt.broker import check_broker
from hipopt.cli.options import BROKER, JUDGING, MODEL, load_settings, with_settings
from hipopt.devices import open_device
from hipopt.llm.proposer import make_proposer
from hipopt.messages import shard_queue
from hipopt.worker import child_environ, worker_argv


@click.command("worker")
@click.option("--shard", "shards", type=int, multiple=True, help="Serve just this shard.")
@click.option("--loglevel", default="INFO", show_default=True, help="Of Celery's log.")
@with_settings("concurrency", *BROKER, *MODEL, *JUDGING)
def command(shards: tuple[int, ...], loglevel: str, **options: Any) -> None:  # noqa: ANN401
    """Judge kernels on this node until stopped; all shards unless told otherwise.

    Starting another of these, here or on another node, is all it takes to scale out.
    """
    settings = load_settings(options)
    make_proposer(settings)
    click.echo(f"device: {open_device(settings).describe().name}", err=True)
    for warning in check_broker(settings):
        click.echo(f"hipopt: {warning}", err=True)
    queues = [shard_queue(settings.namespace, shard) for shard in shards]
    argv = worker_argv(settings, queues, loglevel=loglevel)
    os.execve(argv[0], argv, child_environ(settings))  # noqa: S606 (no shell is wanted)
