"""`hipopt evaluate`: judge one candidate, with no broker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hipopt.cli.options import load_settings, with_settings
from hipopt.devices import open_judge
from hipopt.errors import UsageError
from hipopt.evaluate import evaluate
from hipopt.records import Judgement

_FILE = click.Path(path_type=Path)


@click.command("evaluate")
@click.option("--reference", type=_FILE, required=True, help="The original: a HIP source file.")
@click.option("--candidate", type=_FILE, required=True, help="The replacement: file or function.")
@click.option("--kernel", required=True, help="Name of the kernel function.")
@click.option("--workload", type=_FILE, help="JSON file with a workload or a list of them.")
@click.option("--seed", "seeds", help="Comma-separated seeds of an earlier verdict, to repeat it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_settings(
    "device", "arch", "cache_dir", "check_timeout_s", "launch_timeout_s", "min_speedup",
    "allow_unsandboxed",
)  # fmt: skip
def command(
    reference: Path, candidate: Path, kernel: str, workload: Path | None, seeds: str | None,
    as_json: bool, **options: Any,  # noqa: ANN401 (click's options)
) -> None:  # fmt: skip
    """Judge one candidate beside the original and print the verdict.

    A negative verdict is a result: the exit code is 0.
    """
    settings = load_settings(options)
    judge = open_judge(settings)
    judgement = evaluate(judge, reference, candidate, kernel, workload, _seeds(seeds))
    if as_json:
        click.echo(json.dumps({"kernel": kernel, **judgement.to_json()}))
    else:
        click.echo(_text(judgement))


def _seeds(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--seed {text}: expected integers separated by commas") from None
    if len(seeds) < 2 or min(seeds) < 0:
        raise UsageError(f"--seed {text}: expected two or more, none negative; the last times")
    return seeds


def _text(judgement: Judgement) -> str:
    lines = [f"{judgement.verdict}: {judgement.reason}"]
    if judgement.compiler_output:
        lines.append(judgement.compiler_output.rstrip())
    if judgement.device:
        lines.append(f"device {judgement.device}; {judgement.toolchain}")
    if judgement.seeds:
        lines.append("seeds " + ",".join(map(str, judgement.seeds)))
    return "\n".join(lines)
