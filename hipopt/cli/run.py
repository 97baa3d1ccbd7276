"""`hipopt run`: everything on one machine."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from hipopt.cli.display import Display, summary_text
from hipopt.cli.main import INTERRUPTED
from hipopt.cli.options import JUDGING, MODEL, load_settings, with_manifest, with_settings
from hipopt.devices import open_device, settled
from hipopt.dispatch.dispatcher import DispatchOptions
from hipopt.llm.proposer import make_proposer
from hipopt.log.summary import summarise
from hipopt.run import Run
from hipopt.settings import Settings
from hipopt.stopping import stop_on_signals


@click.command("run")
@with_manifest
@click.option("--limit", type=click.IntRange(1), help="Do this many kernels at most.")
@with_settings("log", "shards", "concurrency", *MODEL, *JUDGING)
def command(manifest: Path | None, limit: int | None, **options: Any) -> int:  # noqa: ANN401
    """Judge every kernel of MANIFEST on this machine, and write the outcomes to the log.

    Run it again to go on where it stopped: what is in the log is not done again.
    """
    settings = load_settings({"manifest": manifest, **options})
    prepared = Run(settings, DispatchOptions(limit=limit))
    assert settings.log is not None  # noqa: S101 (Run saw to it)
    if not prepared.left:
        click.echo(_closing(settings, prepared.total))
        return 0
    proposer, device = make_proposer(settings), open_device(settings).describe()
    settings = settled(settings, device)
    with stop_on_signals() as stop:
        click.echo(
            f"{prepared.left} of {prepared.total} kernels to do; candidates {proposer.model}; "
            f"device {device.kind}: {device.name}",
            err=True,
        )
        with Display(prepared.left, prepared.total) as display:
            run = Run(
                settings, DispatchOptions(limit=limit),
                on_progress=display.progress, on_row=display.row, on_trouble=display.trouble,
            )  # fmt: skip
            progress = run.go(stop)
    interrupted = stop.is_set()
    if interrupted:
        click.echo("Stopped. All that was done is in the log.", err=True)
    click.echo(_closing(settings, prepared.total))
    return INTERRUPTED if interrupted else int(progress.given_up + progress.left_out > 0)


def _closing(settings: Settings, total: int) -> str:
    assert settings.log is not None  # noqa: S101 (Run saw to it)
    again = shlex.join(["hipopt", *sys.argv[1:]])  # no option of this command holds a secret
    return summary_text(summarise(settings.log), total, settings.log, again)
