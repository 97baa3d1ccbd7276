"""`hipopt workloads`: find workloads for kernels that came with none."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from hipopt.cli.options import load_settings, with_settings
from hipopt.devices import open_judge
from hipopt.errors import SourceError, UsageError
from hipopt.evaluate import read_source
from hipopt.includes import with_includes
from hipopt.judge.judge import Judge
from hipopt.manifest import Manifest
from hipopt.records import KernelTask
from hipopt.source.slice import slice_kernel
from hipopt.workload.find import Found

_FILE = click.Path(path_type=Path)


@click.command("workloads")
@click.argument("source", type=_FILE)
@click.option("--id", "ids", multiple=True, help="Only this kernel of the manifest; repeatable.")
@click.option("--kernel", help="SOURCE is no manifest but a HIP source, and this its kernel.")
@click.option("-o", "--output", type=_FILE, help="Write here; without it, to stdout.")
@with_settings("device", "arch", "cache_dir", "launch_timeout_s", "check_timeout_s")
def command(
    source: Path, ids: tuple[str, ...], kernel: str | None, output: Path | None,
    **options: Any,  # noqa: ANN401 (click's options)
) -> None:  # fmt: skip
    """Find workloads for the kernels of SOURCE and print a JSON line for each.

    A line's `workloads` can stand in a manifest row, or in a file for `hipopt evaluate --workload`.
    """
    settings = load_settings(options)
    judge = open_judge(settings)
    found = total = 0
    with output.open("w", encoding="utf-8") if output else nullcontext(sys.stdout) as stream:
        for task in _tasks(source, ids, kernel):
            line = row(task, look(judge, task))
            stream.write(json.dumps(line) + "\n")
            stream.flush()
            total += 1
            found += bool(line["workloads"])
    click.echo(f"workloads found for {found} of {total} kernels", err=True)


def look(judge: Judge, task: KernelTask) -> Found:
    """What is found for the task's kernel; a source that can't be cut is a reason too."""
    try:
        capsule = slice_kernel(task.hip_source, task.name, code_body=task.code_body)
    except SourceError as error:
        return Found(tried=(str(error),))
    return judge.find(capsule)


def row(task: KernelTask, found: Found) -> dict[str, Any]:
    """The line for one kernel."""
    return {"id": task.id, "name": task.name, **found.to_json()}


def _tasks(source: Path, ids: tuple[str, ...], kernel: str | None) -> Iterator[KernelTask]:
    if kernel is None:
        yield from Manifest(source).tasks(lambda i: not ids or str(i) in ids)
        return
    if ids:
        raise UsageError("--id names a manifest's kernel, --kernel one of a HIP source; give one")
    text = with_includes(source, read_source(source))
    try:
        capsule = slice_kernel(text, kernel)
    except SourceError as error:
        raise UsageError(f"{source}: {error}") from None
    yield KernelTask(
        id=1, name=kernel, code_body=capsule.kernel_text, hip_file=str(source), hip_source=text
    )
