"""`hipopt extract`: make a manifest from HIP sources."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import click

from hipopt.errors import HipoptError, UsageError
from hipopt.extract import extract


@click.command("extract")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The manifest to write."
)
@click.option("--force", is_flag=True, help="Replace the output file if it is there.")
def command(paths: tuple[Path, ...], output: Path, force: bool) -> None:
    """Write a manifest with a row for each kernel in PATHS (files, or folders looked through)."""
    if output.exists() and not force:
        raise UsageError(f"{output} is there already; give --force to replace it")
    warnings: list[str] = []
    rows = list(extract(paths, relative_to=output.parent, warnings=warnings))
    for warning in warnings:
        click.echo(f"hipopt: {warning}", err=True)
    if not rows:
        raise UsageError(f"no HIP kernel found in {', '.join(map(str, paths))}")
    _write(output, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    click.echo(f"{len(rows)} kernels written to {output}", err=True)
    click.echo(f"Next: hipopt run {output} --log {output.with_suffix('.log.jsonl')}", err=True)


def _write(output: Path, text: str) -> None:
    """The text stands in the file, whole, in place of what was there; or nothing has changed."""
    partial = output.with_name(output.name + ".partial")
    try:
        partial.write_text(text, "utf-8")
        partial.replace(output)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise HipoptError(
            f"{output}: can't be written: {error.strerror}; make room, or choose another place"
        ) from None
