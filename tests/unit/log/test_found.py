"""The workloads found for a run's kernels, beside its log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hipopt.log.found import found_line, found_path
from hipopt.records import Workload

WORKLOAD = {"grid": [1, 1, 1], "block": [64, 1, 1], "args": []}


def row(**judgement: Any) -> bytes:
    return json.dumps({"id": 7, "name": "k", "status": "failure", "judgement": judgement}).encode()


def test_a_line_can_go_back_into_a_manifest() -> None:
    """The workloads stand there as a manifest row takes them, with reasons and what was tried."""
    line = found_line(
        row(
            guessed_workloads=True,
            workloads=[WORKLOAD],
            workload_reasons=["because"],
            workload_notes=["tried"],
        )
    )
    assert line is not None
    read = json.loads(line)
    assert (read["id"], read["name"], read["reasons"], read["tried"]) == (
        7, "k", ["because"], ["tried"],
    )  # fmt: skip
    assert Workload.from_json(read["workloads"][0]).block == (64, 1, 1)


def test_what_was_not_found_has_a_line_too() -> None:
    """An unverifiable kernel's line says what was tried."""
    line = found_line(row(guessed_workloads=True, workload_notes=["no pointer"]))
    assert line is not None
    assert json.loads(line)["tried"] == ["no pointer"]


def test_workloads_that_were_given_have_no_line() -> None:
    """Nor has a row without a judgement, or one that is no row."""
    assert found_line(row(workloads=[WORKLOAD])) is None
    assert found_line(b'{"id": 1, "name": "k", "judgement": null}') is None
    assert found_line(b"not json") is None


def test_the_file_lies_beside_the_log() -> None:
    """Its name is the log's with an ending."""
    assert found_path(Path("/a/log.jsonl")) == Path("/a/log.jsonl.workloads.jsonl")
