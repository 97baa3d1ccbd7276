"""`hipopt collect`: results into the log."""

from __future__ import annotations

import logging
from typing import Any

import click

from hipopt.broker.app import check_broker
from hipopt.cli.options import BROKER, load_settings, with_settings
from hipopt.collect import Collector
from hipopt.errors import UsageError
from hipopt.log.writer import ResultLog
from hipopt.stopping import stop_on_signals


@click.command("collect")
@click.option("--skip-bad-lines", is_flag=True, help="Read over lines of the log that are no rows.")
@with_settings("log", *BROKER)
def command(skip_bad_lines: bool, **options: Any) -> None:  # noqa: ANN401 (click's options)
    """Write the workers' results to the log until stopped. Exactly one of these a log."""
    logging.basicConfig(level=logging.INFO, format="hipopt: %(message)s")
    settings = load_settings(options)
    if settings.log is None:
        raise UsageError("no log given: --log, HIPOPT_LOG, or 'log' in hipopt.toml")
    check_broker(settings)
    with ResultLog(settings.log, skip_bad=skip_bad_lines) as log, stop_on_signals() as stop:
        for notice in log.notices:
            click.echo(f"hipopt: {notice}", err=True)
        click.echo(f"{len(log)} kernels in {log.path}; collecting", err=True)
        totals = Collector(settings, log).run(stop)
    click.echo(
        f"{totals.written} rows written, {totals.duplicates} duplicates dropped, "
        f"{totals.rejected} messages set aside",
        err=True,
    )
