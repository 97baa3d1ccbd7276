"""Judging one candidate from files, with no broker and no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from hipopt.errors import SourceError, UsageError, WorkloadError
from hipopt.includes import with_includes
from hipopt.judge.judge import Judge
from hipopt.records import Judgement, Verdict, Workload
from hipopt.source.slice import slice_kernel
from hipopt.source.splice import SpliceFailure, splice


def evaluate(
    judge: Judge,
    reference_path: Path,
    candidate_path: Path,
    kernel: str,
    workload_path: Path | None = None,
    seeds: tuple[int, ...] | None = None,
) -> Judgement:
    """The verdict on the candidate in one file beside the original in another.

    Raises:
        UsageError: a file can't be read, or the original holds no such kernel.
        DeviceError: our side failed.
    """
    try:
        text = with_includes(reference_path, read_source(reference_path))
        reference = slice_kernel(text, kernel)
    except SourceError as error:
        raise UsageError(f"{reference_path}: {error}") from None
    workloads = read_workloads(workload_path) if workload_path else ()
    candidate = splice(reference, read_source(candidate_path))
    if isinstance(candidate, SpliceFailure):
        return Judgement(verdict=Verdict.REJECTED, reason=f"{candidate_path}: {candidate.reason}")
    prepared = judge.prepare(reference, workloads)
    if isinstance(prepared, Judgement):
        return prepared
    return judge.judge(prepared, candidate, seeds)


def read_source(path: Path) -> str:
    """The text of a source file; bytes that are no UTF-8 are replaced.

    Raises:
        UsageError: naming the file.
    """
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; expected a HIP source file") from None


def read_workloads(path: Path) -> tuple[Workload, ...]:
    """The workloads in a JSON file that holds one, or a list of them.

    Raises:
        UsageError: naming the file and what was expected.
    """
    try:
        raw: Any = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; expected a workload file") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON: {error}; expected a workload file") from None
    rows = raw if isinstance(raw, list) else [raw]
    if not rows:
        raise UsageError(f"{path}: an empty list; expected at least one workload")
    try:
        return tuple(Workload.from_json(row) for row in rows)
    except WorkloadError as error:
        raise UsageError(f"{path}: {error}") from None
