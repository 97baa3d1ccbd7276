"""The workloads that hipopt found, beside the log (`LOG.workloads.jsonl`).

One line for each kernel that came without workloads: those found with the reasons, or what was
tried in vain. A person can read and correct a line and put its `workloads` into the manifest row.
Nothing relies on the file, and the log's rows hold the same: a line may be missing after a crash.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from hipopt.records import KernelId


class _Judgement(msgspec.Struct):
    workloads: list[msgspec.Raw] = []
    guessed_workloads: bool = False
    workload_reasons: list[str] = []
    workload_notes: list[str] = []


class _Row(msgspec.Struct):
    id: KernelId
    name: str = ""
    judgement: _Judgement | None = None


class _Line(msgspec.Struct):
    """As `hipopt workloads` prints it."""

    id: KernelId
    name: str
    workloads: list[msgspec.Raw]
    reasons: list[str]
    tried: list[str]


def found_path(log: Path) -> Path:
    """Where the workloads found for a log's kernels lie."""
    return log.with_name(log.name + ".workloads.jsonl")


def found_line(row: bytes) -> bytes | None:
    """The line for a row of the log; None where no workloads were looked for."""
    try:
        read = msgspec.json.decode(row, type=_Row)
    except msgspec.DecodeError:
        return None
    judgement = read.judgement
    if judgement is None or not judgement.guessed_workloads:
        return None
    return msgspec.json.encode(
        _Line(
            read.id,
            read.name,
            judgement.workloads,
            judgement.workload_reasons,
            judgement.workload_notes,
        )
    )
