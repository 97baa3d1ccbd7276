"""`hipopt doctor`: what works here, and what mends what doesn't."""

from __future__ import annotations

import json
from typing import Any

import click

from hipopt.cli.options import BROKER, MODEL, load_settings, with_settings
from hipopt.doctor import examine
from hipopt.finding import Health

_MARKS = {
    Health.OK: click.style("ok  ", fg="green"),
    Health.WARN: click.style("warn", fg="yellow"),
    Health.FAIL: click.style("FAIL", fg="red"),
    Health.OFF: click.style("off ", dim=True),
}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_settings(
    "log", "device", "arch", "cache_dir", "slots_dir", "allow_unsandboxed", *BROKER, *MODEL
)
def command(as_json: bool, **options: Any) -> int:  # noqa: ANN401 (click's options)
    """Try compiler, device, sandbox, broker and model, and say what mends what doesn't work."""
    findings = []
    for finding in examine(load_settings(options)):
        findings.append(finding)
        if not as_json:
            click.echo(f"{_MARKS[finding.health]}  {finding.name:20} {finding.detail}")
    failed = [f.name for f in findings if f.health is Health.FAIL]
    if as_json:
        click.echo(json.dumps({"findings": [f.to_json() for f in findings]}))
    elif failed:
        click.echo(f"Mend {', '.join(failed)} first.")
    else:
        click.echo("Ready. Next: make demo, or hipopt run MANIFEST --log LOG")
    return 1 if failed else 0
