"""What a log says in a few numbers."""

import json
from pathlib import Path

from hipopt.cli.display import summary_text
from hipopt.log.summary import summarise


def _log(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_first_final_row_of_a_kernel_counts(tmp_path: Path) -> None:
    """Later rows of an id, rows without a final status and a torn tail don't count."""
    log = _log(
        tmp_path / "log.jsonl",
        {"id": 1, "status": "failure", "failure_kind": "mismatch"},
        {"id": 1, "status": "success", "speedup": 9.0},
        {"id": 2, "status": "running"},
        {"id": "1", "status": "success", "name": "k", "speedup": 1.5,
         "attempts": [{"outcome": "timeout"}, {"outcome": "faster"}]},
    )  # fmt: skip
    with log.open("a") as file:
        file.write('{"id": 3, "status": "success"')
    found = summarise(log)
    assert (found.done, found.succeeded) == (2, 1)
    assert found.failures == {"mismatch": 1}
    assert found.attempts == {"timeout": 1, "faster": 1}
    assert [(w.id, w.speedup) for w in found.best] == [("1", 1.5)]


def test_rows_of_a_plain_script_are_honoured(tmp_path: Path) -> None:
    """`id` and `status` are enough; fields of other types are left out, not fatal."""
    log = _log(
        tmp_path / "log.jsonl",
        {"id": 1, "status": "success"},
        {"id": 2, "status": "failure", "speedup": "none", "name": 7},
    )
    found = summarise(log)
    assert (found.done, found.succeeded, found.best) == (2, 1, ())
    assert found.failures == {"failure": 1}


def test_no_log_is_an_empty_one(tmp_path: Path) -> None:
    """Before the first row there is nothing, and that is no error."""
    assert summarise(tmp_path / "missing.jsonl").done == 0


def test_emulated_times_are_labelled(tmp_path: Path) -> None:
    """Where a speedup was measured on the emulator, the closing words say so."""
    judgement = {"timing": {"emulated": True}}
    row = {"id": 1, "status": "success", "name": "k", "speedup": 2.0, "judgement": judgement}
    log = _log(tmp_path / "log.jsonl", row)
    text = summary_text(summarise(log), 3, log, "hipopt run again")
    assert "says nothing about a GPU" in text
    assert "3 kernels: 1 done, 2 left" in text
    assert text.endswith("Next: hipopt run again")
