"""The example kernels, their manifest and the recorded replies fit together."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from hipopt.records import Verdict, Workload

EXAMPLES = Path(__file__).parents[2] / "examples"
ROWS: list[dict[str, Any]] = json.loads((EXAMPLES / "manifest.json").read_text())
REPLIES: list[dict[str, Any]] = [
    json.loads(line) for line in (EXAMPLES / "replies.jsonl").read_text().splitlines()
]
OUTCOMES = {str(v) for v in Verdict} | {"correct", "malformed_reply"}
GOOD = {"faster", "correct"}

each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['id']}-{row['name']}")


def parameters_of(row: dict[str, Any]) -> list[str]:
    """The kernel's parameters as text; none of the examples has a comma inside one."""
    _, _, after = row["code_body"].partition(f"{row['name']}(")
    return [p.strip() for p in after.partition(")")[0].split(",")]


def workloads_of(row: dict[str, Any]) -> list[Workload]:
    """The workloads that the row brings."""
    return [Workload.from_json(w) for w in row.get("workloads", [])]


@each_row
def test_code_body_stands_in_its_file(row: dict[str, Any]) -> None:
    """A row's code is found verbatim, once, in the file that the row names."""
    assert (EXAMPLES / row["hip_file"]).read_text().count(row["code_body"]) == 1


@each_row
def test_workloads_have_an_argument_for_every_parameter(row: dict[str, Any]) -> None:
    """Buffers stand for pointers, scalars for values, in the order of the parameters."""
    parameters = parameters_of(row)
    for workload in workloads_of(row):
        assert [a.name for a in workload.args] == [p.split()[-1].lstrip("*") for p in parameters]
        pointers = {b.name for b in workload.buffers}
        assert [a.name in pointers for a in workload.args] == ["*" in p for p in parameters]


@each_row
def test_kernels_without_workloads_are_plain(row: dict[str, Any]) -> None:
    """Where no workload is given, it can be guessed: input, output, count."""
    if not row.get("workloads"):
        assert [p.split()[-1].lstrip("*") for p in parameters_of(row)] == ["x", "y", "n"]


@each_row
def test_one_workload_has_a_ragged_edge(row: dict[str, Any]) -> None:
    """Some size is no multiple of the block or the wave, so that guards are put to the test."""
    for workload in workloads_of(row)[:1]:
        sizes = [a.value for a in workload.args if getattr(a, "scalar", "float32") != "float32"]
        assert any(size % 64 for size in sizes)


def test_ids_are_unique_and_ascending() -> None:
    """Shards are ranges of ids, so the example has them in order."""
    ids = [row["id"] for row in ROWS]
    assert ids == sorted(set(ids))


def test_every_file_is_in_the_manifest() -> None:
    """No example file is left out, and some files hold two kernels."""
    files = Counter(row["hip_file"] for row in ROWS)
    assert set(files) == {f"hip/{p.name}" for p in (EXAMPLES / "hip").glob("*.hip")}
    assert 2 in files.values()


def test_replies_answer_every_kernel_in_turn() -> None:
    """Each kernel has replies numbered from 1, and only the last one may end its story well."""
    story: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for reply in REPLIES:
        assert set(reply) == {"id", "attempt", "reply", "expect"}
        assert reply["expect"] in OUTCOMES
        story[reply["id"]].append(reply)
    assert set(story) == {row["id"] for row in ROWS}
    for replies in story.values():
        assert [r["attempt"] for r in replies] == list(range(1, len(replies) + 1))
        assert not GOOD & {r["expect"] for r in replies[:-1]}


def test_replies_show_every_kind_of_outcome() -> None:
    """The recording ends well for most kernels and shows failures of all common kinds."""
    seen = Counter(reply["expect"] for reply in REPLIES)
    kinds = ["slower", "compile_error", "mismatch", "out_of_bounds", "rejected", "crashed"]
    assert all(seen[kind] >= 2 for kind in [*kinds, "malformed_reply"])
    assert seen["faster"] > len(ROWS) / 2
    assert seen["timeout"] == 1  # each costs a whole deadline
