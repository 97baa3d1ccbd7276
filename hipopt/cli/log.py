"""`hipopt log`: is a result log sound, and setting aside what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from hipopt.cli.options import load_settings, with_settings
from hipopt.errors import UsageError
from hipopt.log.check import LogReport, verify
from hipopt.log.repair import Repair, repair

_SHOWN = 20
_TAIL = {True: "a row that only lacks its newline", False: "a row that was cut off"}


@click.group("log")
def command() -> None:
    """Look after a result log."""


@command.command("verify")
@click.argument("log", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@with_settings()
def verify_command(as_json: bool, **options: Any) -> int:  # noqa: ANN401 (click's options)
    """Look at every line of LOG: whether it is whole, a row, and its checksum right.

    Writes nothing, and may be run while a collector writes. Exit code 0: sound; 1: damaged.
    """
    report = verify(_log(options))
    click.echo(msgspec.json.encode(report).decode() if as_json else "\n".join(_lines(report)))
    return int(not report.sound)


@command.command("repair")
@click.argument("log", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@with_settings()
def repair_command(as_json: bool, **options: Any) -> None:  # noqa: ANN401 (click's options)
    """Move the damaged lines of LOG to LOG.damaged. Stop its collector first.

    Every whole row stays; kernels whose rows were damaged are judged again by the next dispatch.
    """
    found = repair(_log(options))
    click.echo(msgspec.json.encode(found).decode() if as_json else _told(found))


def _log(options: dict[str, Any]) -> Path:
    log = load_settings(options).log
    if log is None:
        raise UsageError("no log given: name it as hipopt log COMMAND LOG, or in HIPOPT_LOG")
    if not log.is_file():
        raise UsageError(f"{log}: there is no such log")
    return log


def _lines(report: LogReport) -> list[str]:
    lines = [
        f"{report.log}: {report.lines} lines, {report.size_bytes} bytes",
        f"  {report.kernels} kernels done",
        f"  {report.checksummed} rows with a checksum, all right; {report.plain} without one",
    ]
    if report.unsettled:
        lines.append(f"  {report.unsettled} rows that are not final and don't count")
    if report.duplicates:
        lines.append(f"  {report.duplicates} duplicates that don't count")
    if report.superseded:
        lines.append(f"  {report.superseded} rows superseded by a retry")
    lines += [
        f"  line {d.line} (byte {d.offset}, {d.length} bytes): {d.reason}"
        + (f"; {d.rows} whole rows on it" if d.rows else "")
        for d in report.damages[:_SHOWN]
    ]
    if report.damaged > _SHOWN:
        lines.append(f"  and {report.damaged - _SHOWN} more damaged lines")
    if report.torn_bytes:
        at = report.size_bytes - report.torn_bytes
        lines.append(
            f"  {report.torn_bytes} bytes after the last newline (byte {at}), which don't count: "
            + _TAIL[report.tail_whole]
        )
    return [*lines, _finding(report)]


def _finding(report: LogReport) -> str:
    if report.damaged:
        return (
            f"Damaged: {report.damaged} lines. Stop the collector, then set them aside: "
            f"hipopt log repair {report.log}"
        )
    if not report.sound:
        return "Damaged: the last line is torn; the next start of the collector sets it aside."
    return "Sound."


def _told(found: Repair) -> str:
    if not found.rewritten:
        return f"{found.log}: sound. Nothing to do."
    lines = [f"{found.log}: {found.kept} lines kept as they were"]
    if found.damaged:
        lines.append(f"  {found.damaged} damaged lines set aside in {found.side_file}")
    if found.rescued:
        lines.append(f"  {found.rescued} whole rows on them kept")
    return "\n".join([*lines, "Sound now. Dispatch again: what the log lacks is judged again."])
