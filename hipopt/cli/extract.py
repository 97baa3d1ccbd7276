"""`hipopt extract`: make a manifest from HIP sources."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hipopt.errors import UsageError
from hipopt.extract import extract


@click.command("extract")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The manifest to write."
)
@click.option("--force", is_flag=True, help="Replace the output file if it is there.")
def command(paths: tuple[Path, ...], output: Path, force: bool) -> None:
    """Write a manifest with a row for each kernel in PATHS (files, or folders looked through)."""
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
    if output.exists() and not force:
        raise UsageError(f"{output} is there already; give --force to replace it")
    found = extract(paths, relative_to=output.parent)
    for warning in found.warnings:
        click.echo(f"hipopt: {warning}", err=True)
    if not found.rows:
        raise UsageError(f"no HIP kernel found in {', '.join(map(str, paths))}")
    partial = output.with_name(output.name + ".partial")
    partial.write_text(json.dumps(found.rows, indent=1, ensure_ascii=False) + "\n", "utf-8")
    partial.replace(output)
    click.echo(f"{len(found.rows)} kernels written to {output}", err=True)
    click.echo(f"Next: hipopt run {output} --log {output.with_suffix('.log.jsonl')}", err=True)
