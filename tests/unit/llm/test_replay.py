"""Facts about candidates from files."""

import json
from pathlib import Path

import pytest

from hipopt.errors import UsageError
from hipopt.llm.client import ModelClient
from hipopt.llm.proposer import make_proposer
from hipopt.llm.replay import CandidateFile, Replay
from hipopt.llm.reply import Candidate, parse_reply
from hipopt.records import KernelTask
from hipopt.settings import Settings


def task(kernel_id: int | str) -> KernelTask:
    return KernelTask(id=kernel_id, name="k", code_body="")


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_replay_answers_by_id_and_attempt(tmp_path: Path) -> None:
    """The order of lines does not matter, other keys neither, and 1 is not "1"."""
    lines = (
        {"id": 1, "attempt": 2, "reply": "second ä"},
        {"id": "1", "attempt": 1, "reply": "of another"},
        {"id": 1, "attempt": 1, "reply": "first", "model": "m"},
    )
    replay = Replay(write(tmp_path / "r.jsonl", *lines))
    replies = [replay.ask(task(1), n, ()) for n in (1, 2, 3)]
    assert [r.text if r else None for r in replies] == ["first", "second ä", None]
    other = replay.ask(task("1"), 1, ())
    assert other is not None
    assert other.text == "of another"
    assert replay.model == "recorded: r.jsonl"


def test_candidates_of_a_kernel_come_in_the_order_of_their_lines(tmp_path: Path) -> None:
    """Each line is one attempt; its code and thinking come out of the parser unchanged."""
    code = "__global__ void k() { /* ```\n```hip */ }"
    lines = (
        {"id": "a", "opt_kernel": code, "opt_think": "why"},
        {"id": "b", "opt_kernel": None},
        {"id": "a", "opt_kernel": "__global__ void k() {}"},
    )
    source = CandidateFile(write(tmp_path / "c.jsonl", *lines))
    first, second = (source.ask(task("a"), n, ()) for n in (1, 2))
    assert first is not None
    assert second is not None
    assert parse_reply(first.text, "k") == Candidate(code=code, thinking="why")
    assert parse_reply(second.text, "k") == Candidate(code="__global__ void k() {}", thinking=None)
    assert source.ask(task("a"), 3, ()) is None


def test_a_row_without_opt_kernel_proposes_nothing(tmp_path: Path) -> None:
    """A result log serves as a file of candidates, its failures included."""
    source = CandidateFile(write(tmp_path / "log.jsonl", {"id": "b", "opt_kernel": None}))
    assert source.ask(task("b"), 1, ()) is None


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"id": 1}', '{"id": 1.5, "attempt": 1, "reply": ""}', "\xff"]
)
def test_a_bad_line_stops_the_start_with_its_number(tmp_path: Path, line: str) -> None:
    """File and line are named; blank lines are counted but are not bad."""
    path = tmp_path / "r.jsonl"
    good = '{"id": 1, "attempt": 1, "reply": ""}\n\n'
    path.write_bytes(good.encode() + line.encode("latin-1") + b"\n")
    with pytest.raises(UsageError, match=r"r\.jsonl, line 3"):
        Replay(path)


def test_the_same_attempt_twice_is_refused(tmp_path: Path) -> None:
    """Which of two replies was meant is not guessed."""
    line = {"id": 1, "attempt": 1, "reply": ""}
    with pytest.raises(UsageError, match="line 2: attempt 1 of kernel 1"):
        Replay(write(tmp_path / "r.jsonl", line, line))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """No file at the path is a wrong call, not a crash."""
    with pytest.raises(UsageError, match=r"none\.jsonl: can't be read"):
        CandidateFile(tmp_path / "none.jsonl")


def test_a_file_that_changed_after_the_start_is_noticed(tmp_path: Path) -> None:
    """A reply is never read from the middle of another line."""
    line = {"id": 1, "attempt": 1, "reply": "x"}
    path = write(tmp_path / "r.jsonl", {"id": 0, "attempt": 1, "reply": ""}, line)
    replay = Replay(path)
    write(path, {"id": 0, "attempt": 1, "reply": "longer than it was"}, line)
    with pytest.raises(UsageError, match="was it changed"):
        replay.ask(task(1), 1, ())


def test_settings_choose_one_source(tmp_path: Path) -> None:
    """Model, recorded replies and candidates each come from their own setting."""
    path = write(tmp_path / "f.jsonl")
    assert isinstance(make_proposer(Settings(replay=path)), Replay)
    assert isinstance(make_proposer(Settings(candidates=path)), CandidateFile)
    client = make_proposer(Settings(model="m", base_url="http://127.0.0.1:9/v1"))
    assert isinstance(client, ModelClient)
    client.close()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(), "--model"),
        (Settings(model="m", replay=Path("r")), "model and replay are set"),
        (Settings(candidates=Path("c"), replay=Path("r")), "replay and candidates are set"),
    ],
)
def test_no_source_or_several_are_refused(settings: Settings, expected: str) -> None:
    """The message names the settings that are missing or clash."""
    with pytest.raises(UsageError, match=expected):
        make_proposer(settings)
