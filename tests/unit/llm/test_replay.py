"""Candidates without a model."""

import json
from pathlib import Path

import pytest

from hipopt.errors import UsageError
from hipopt.llm.replay import CandidateFile, Replay, make_proposer
from hipopt.llm.reply import Candidate, parse_reply
from hipopt.records import KernelTask
from hipopt.settings import Settings


def _task(kernel_id: int | str) -> KernelTask:
    return KernelTask(id=kernel_id, name="k", code_body="")


def _write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_replies_come_in_the_order_of_their_attempts(tmp_path: Path) -> None:
    """Attempts are told by number, not by place; after the last there is None."""
    rows = [{"id": 1, "attempt": 2, "reply": "b"}, {"id": "1", "attempt": 1, "reply": "c"},
            {"id": 1, "attempt": 1, "reply": "a", "expect": "faster"}]  # fmt: skip
    replay = Replay(_write(tmp_path / "r.jsonl", *rows))
    replies = [replay.ask(_task(1), n, []) for n in (1, 2, 3)]
    assert [reply and reply.text for reply in replies] == ["a", "b", None]
    other = replay.ask(_task("1"), 1, [])
    assert other is not None
    assert other.text == "c"
    assert replay.ask(_task(7), 1, []) is None


def test_candidates_survive_the_parsing_of_replies(tmp_path: Path) -> None:
    """Code from a file comes out as it is, fences in its comments included."""
    code = "// ```hip\n__global__ void k() {}\n// ```\n"
    row = {"id": 1, "opt_kernel": code, "opt_think": "because"}
    reply = CandidateFile(_write(tmp_path / "c.jsonl", row)).ask(_task(1), 1, [])
    assert reply is not None
    assert reply.reasoning == "because"
    assert parse_reply(reply.text, "k") == Candidate(code=code, thinking=None)


@pytest.mark.parametrize("kind", [Replay, CandidateFile])
def test_a_bad_line_is_named(tmp_path: Path, kind: type) -> None:
    """File and line stand in the message, and what was expected."""
    path = tmp_path / "r.jsonl"
    path.write_text('\n{"id": 1}\n')
    with pytest.raises(UsageError, match=r"r\.jsonl: line 2: .*expected lines like"):
        kind(path)
    with pytest.raises(UsageError, match="No such file"):
        kind(tmp_path / "missing")


def test_exactly_one_source_of_candidates(tmp_path: Path) -> None:
    """None or two of them is a mistake that names the options."""
    path = _write(tmp_path / "r.jsonl")
    with pytest.raises(UsageError, match=r"no source of candidates is given.*--replay"):
        make_proposer(Settings())
    with pytest.raises(UsageError, match="model and replay are given"):
        make_proposer(Settings(model="m", replay=path))
    assert make_proposer(Settings(replay=path)).model == "recorded: r.jsonl"
