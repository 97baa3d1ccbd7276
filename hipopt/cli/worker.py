"""`hipopt worker`: judges kernels on this node."""

from __future__ import annotations

import os
from typing import Any

import click

from hipopt.broker.app import check_broker
from hipopt.cli.options import BROKER, JUDGING, MODEL, load_settings, with_settings
from hipopt.devices import open_device, settled
from hipopt.errors import ModelUnavailable
from hipopt.llm.proposer import make_proposer
from hipopt.messages import shard_queue
from hipopt.settings import Settings
from hipopt.worker import child_environ, worker_argv


@click.command("worker")
@click.option(
    "--only-shard", "shards", type=click.IntRange(0), multiple=True,
    help="Serve just this shard; may be given several times.",
)  # fmt: skip
@click.option("--loglevel", default="INFO", show_default=True, help="Of Celery's log.")
@with_settings("concurrency", *BROKER, *MODEL, *JUDGING)
def command(shards: tuple[int, ...], loglevel: str, **options: Any) -> None:  # noqa: ANN401
    """Judge kernels on this node until stopped; all shards unless told otherwise.

    Starting another of these, here or on another node, is all it takes to scale out. It needs the
    broker's URL, and what judging needs: a model with its endpoint (or recorded replies), and the
    device. Manifest and log stay where they are.

    --concurrency is the number of kernels in work at once. By default it is four for each core
    where a model is asked, two with recorded replies, and no more than there is memory for (512 MiB
    each). That is no oversubscription: a kernel has a core alone while it is checked and timed, and
    so has a compiler; the rest wait, mostly for the model.

    Ctrl-C (SIGINT) finishes what runs; a second one, or SIGTERM, hands it back at once for others
    to run and ends within seconds.
    """
    settings = load_settings(options)
    click.echo(f"candidates: {_candidates(settings)}", err=True)
    device = open_device(settings).describe()
    settings = settled(settings, device)
    click.echo(f"device {device.kind}: {device.name}, {device.arch}", err=True)
    for warning in check_broker(settings):
        click.echo(f"hipopt: {warning}", err=True)
    archs = dict.fromkeys((None, settings.arch))
    queues = [shard_queue(settings.namespace, shard, arch) for shard in shards for arch in archs]
    argv = worker_argv(settings, queues, loglevel=loglevel)
    os.execve(argv[0], argv, child_environ(settings))  # noqa: S606 (no shell is wanted)


def _candidates(settings: Settings) -> str:
    """Where candidates come from. An endpoint that is down is waited for, later, by each kernel.

    Raises:
        UsageError: nothing proposes candidates.
        ModelRefused: the endpoint will never answer as configured.
    """
    proposer = make_proposer(settings)
    if settings.model is None:
        return proposer.model
    from hipopt.llm.client import ModelClient  # slow to import, and not always needed

    with ModelClient(settings) as client:
        try:
            return client.check()
        except ModelUnavailable as error:
            return f"{error} (kernels will wait for it)"
