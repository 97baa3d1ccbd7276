"""A damaged log: what is said of it, and what a repair makes of it."""

import base64
import json
import os
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hipopt.cli.main import cli
from hipopt.errors import LogError
from hipopt.log import check as logcheck
from hipopt.log.check import verify
from hipopt.log.file import damaged_path
from hipopt.log.line import seal
from hipopt.log.reader import LogReader
from hipopt.log.repair import Repair, repair
from hipopt.log.rescue import rescue
from hipopt.log.summary import summarise
from hipopt.log.writer import ResultLog
from hipopt.messages import RowLine


def plain(kernel_id: object, **more: object) -> bytes:
    return json.dumps({"id": kernel_id, "status": "success", "name": "k", **more}).encode()


def compact(kernel_id: object, **more: object) -> bytes:
    row = {"id": kernel_id, "status": "success", "name": "k", **more}
    return json.dumps(row, separators=(",", ":")).encode()


SEALED = [seal(compact(i, opt_kernel="{x}\n")) for i in range(6)]
CHANGED = SEALED[1].replace(b"success", b"failure")
TORN = SEALED[1][:40]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for the disk: where there are many logs, and none of them meets a crash."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(logcheck, "_SETTLE_S", 0.0)


def put(path: Path, *lines: bytes) -> bytes:
    content = b"".join(line + b"\n" for line in lines)
    path.write_bytes(content)
    return content


def asides(path: Path) -> list[bytes]:
    """The damaged lines that were set aside, as they stood in the log."""
    found = map(json.loads, damaged_path(path).read_bytes().splitlines())
    return [base64.b64decode(f["base64"]) if "base64" in f else f["text"].encode() for f in found]


def test_a_sound_log_is_called_so(path: Path) -> None:
    """Rows with and without checksum, duplicates, retries, blanks: all counted, none damage."""
    put(path, SEALED[0], plain(1), plain("1"), b"", SEALED[0], plain(2) + b"\r",
        plain(3, retry=1), plain(3), json.dumps({"id": 9, "status": "running"}).encode(),
        seal(compact(2, retry=1)))  # fmt: skip
    found = verify(path)
    assert found.sound
    assert (found.lines, found.kernels, found.checksummed, found.plain) == (9, 5, 3, 6)
    assert (found.duplicates, found.superseded, found.unsettled) == (2, 1, 1)
    assert (found.size_bytes, found.torn_bytes) == (path.stat().st_size, 0)
    before = (path.stat().st_ino, path.stat().st_mtime_ns)
    assert repair(path) == Repair(log=str(path), rewritten=False)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == before
    assert not damaged_path(path).exists()


class Written(NamedTuple):
    id: int
    status: str
    retry: int
    sealed: bool

    def line(self, number: int) -> bytes:
        kind = f"kind {number}" if self.status == "failure" else None
        row = compact(self.id, status=self.status, retry=self.retry, failure_kind=kind)
        return seal(row) if self.sealed else row


statuses = st.sampled_from(["success", "failure", "running"])
rows = st.builds(Written, st.integers(0, 3), statuses, st.integers(0, 3), st.booleans())


@pytest.mark.usefixtures("_quick")
@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(st.lists(rows, max_size=9))
def test_all_readers_agree_on_which_row_counts(tmp_path: Path, rows: list[Written]) -> None:
    """Reader, verify, collector and summary count the same row of each kernel, as the rule says."""
    path = tmp_path / "agree.jsonl"
    put(path, *(row.line(number) for number, row in enumerate(rows)))
    final = [(n, row) for n, row in enumerate(rows) if row.status != "running"]
    counting = {
        i: max((pair for pair in final if pair[1].id == i), key=lambda pair: pair[1].retry)
        for i in {row.id for _, row in final}
    }  # `max` finds the first of equals
    expected = {
        i: (row.status, row.retry, f"kind {n}" if row.status == "failure" else None)
        for i, (n, row) in counting.items()
    }
    reader = LogReader(path)
    reader.poll()
    assert {i: (r.status, r.retry, r.failure_kind) for i, r in reader.rows.items()} == expected
    found, summary = verify(path), summarise(path)
    assert (found.kernels, summary.done) == (len(expected), len(expected))
    assert summary.failures == {kind: 1 for _, _, kind in expected.values() if kind}
    left_out = len(final) - len(expected)
    assert found.duplicates + found.superseded == left_out
    assert reader.duplicates + reader.superseded == left_out
    with ResultLog(path) as log:
        late = [RowLine(i, compact(i, late=True), retry) for i, (_, retry, _) in expected.items()]
        assert log.append(late) == []


@pytest.mark.parametrize(
    ("bad", "kept"),
    [
        (b"{oops", []),
        (b"\0" * 500, []),
        (b"7", []),
        (CHANGED, []),
        (CHANGED + CHANGED, []),
        (compact(7)[:-1] + b',"x":"\xff"}', []),
        (TORN + SEALED[2], [SEALED[2]]),
        (TORN + TORN + SEALED[2], [SEALED[2]]),
        (TORN + plain(7), []),  # it might be a part of the torn row
        (SEALED[1] + SEALED[2], [SEALED[1], SEALED[2]]),
        (SEALED[1] + TORN + b"\0" * 9 + SEALED[2] + b"\xff", [SEALED[1], SEALED[2]]),
        (b"\0\0" + SEALED[1] + b"\0", [SEALED[1]]),
        (plain(7) + plain(8), [plain(7), plain(8)]),
        (plain(7) + b"\0\0" + plain(8) + SEALED[1], [plain(7), plain(8), SEALED[1]]),
        (plain(7) + b'{"no": "row"}' + SEALED[1], [SEALED[1]]),
        (CHANGED + SEALED[2], [SEALED[2]]),
        (SEALED[2] + CHANGED, [SEALED[2]]),
    ],
)
def test_a_damaged_line_is_set_aside_and_its_whole_rows_kept(
    path: Path, bad: bytes, kept: list[bytes]
) -> None:
    """Every other line stays byte for byte; what is sure to be a row stays; all of it is kept."""
    content = put(path, SEALED[0], bad, SEALED[3])
    found = verify(path)
    assert not found.sound
    (damage,) = found.damages
    assert (damage.line, damage.offset, damage.length) == (2, len(SEALED[0]) + 1, len(bad))
    assert damage.rows == len(kept)
    with pytest.raises(LogError, match=rf"line 2 \(byte {damage.offset}\)"):
        ResultLog(path)
    assert path.read_bytes() == content
    done = repair(path)
    assert (done.kept, done.damaged, done.rescued) == (2, 1, len(kept))
    assert path.read_bytes() == b"".join(x + b"\n" for x in [SEALED[0], *kept, SEALED[3]])
    assert asides(path) == [bad]
    assert verify(path).sound
    with ResultLog(path) as log:
        assert len(log) == 2 + len(kept)


def test_several_damaged_lines_in_a_row(path: Path) -> None:
    """Each is named with its line and offset, and a second repair adds to what was set aside."""
    bad = [b"\0" * 9, CHANGED, TORN, b"\xff\xfe"]
    put(path, SEALED[0], *bad, SEALED[2])
    at = [len(SEALED[0]) + 1 + sum(len(b) + 1 for b in bad[:i]) for i in range(4)]
    assert [(d.line, d.offset) for d in verify(path).damages] == list(
        zip(range(2, 6), at, strict=True)
    )
    assert repair(path).damaged == 4
    with path.open("ab") as file:
        file.write(TORN)
    assert repair(path).damaged == 1
    assert asides(path) == [*bad, TORN]
    assert path.read_bytes() == SEALED[0] + b"\n" + SEALED[2] + b"\n"


@pytest.mark.usefixtures("_quick")
@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None
)
@given(
    lines=st.lists(st.sampled_from([*SEALED, plain(7), plain("x")]), min_size=1, max_size=6),
    hits=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=30)), max_size=4),
)
def test_whatever_was_overwritten_the_repaired_log_starts(
    tmp_path: Path, lines: list[bytes], hits: list[tuple[float, bytes]]
) -> None:
    """Bytes written over anywhere cost only rows that they touch; nothing damaged is deleted."""
    path = tmp_path / "hit.jsonl"
    damaged_path(path).unlink(missing_ok=True)
    content = bytearray(put(path, *lines))
    touched: set[int] = set()
    for share, noise in hits:
        at = int(share * (len(content) - 1))
        content[at : at + len(noise)] = noise
        touched |= set(range(at, at + len(noise)))
    path.write_bytes(content)
    sound = verify(path).sound
    done = repair(path)
    assert verify(path).sound
    after = path.read_bytes().splitlines()
    start = 0
    for line in lines:
        whole = not touched & set(range(start - 1, start + len(line) + 1))
        assert not whole or line in after
        start += len(line) + 1
    if sound and not done.rewritten:
        assert path.read_bytes() == bytes(content)
    for aside in asides(path) if done.damaged else []:
        assert aside in content
    with ResultLog(path) as log:
        assert log.notices == []


LAST = b"".join(line + b"\n" for line in SEALED[2:5])
EARLIER = b"".join(line + b"\n" for line in SEALED[:2])


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("nuls", [0, 1, 300])
def test_a_log_cut_at_every_byte_of_its_last_three_lines(path: Path, nuls: int) -> None:
    """Every row before the cut survives the next start, and what is torn is said and kept."""
    torn = path.with_name("log.jsonl.torn")
    for cut in range(len(LAST) + 1):
        path.write_bytes(EARLIER + LAST[:cut] + b"\0" * nuls)
        torn.unlink(missing_ok=True)
        kept = 2 + LAST[:cut].count(b"\n")
        whole = cut < len(LAST) and LAST[cut : cut + 1] == b"\n" and not nuls
        tail = LAST[:cut].rpartition(b"\n")[2] + b"\0" * nuls
        reader = LogReader(path)
        assert len(reader.poll()) == kept
        with ResultLog(path) as log:
            assert len(log) == kept + whole
            if whole:
                assert "lacked its newline" in log.notices[0]
            elif tail:
                assert f"torn ({len(tail)} bytes at byte " in log.notices[0]
                assert torn.read_bytes() == tail + b"\n"
            else:
                assert log.notices == []
            assert log.append([RowLine("new", compact("new"))]) == ["new"]
        rows = path.read_bytes().splitlines()
        assert rows == [*SEALED[: kept + whole], seal(compact("new"))]


def test_a_torn_tail_is_told_from_a_missing_newline(path: Path) -> None:
    """A cut row is damage that the next start mends; a whole row without newline is none."""
    path.write_bytes(SEALED[0] + b"\n" + TORN)
    found = verify(path)
    assert (found.sound, found.torn_bytes, found.damaged, found.kernels) == (False, 40, 0, 1)
    path.write_bytes(SEALED[0] + b"\n" + SEALED[1])
    found = verify(path)
    assert (found.sound, found.tail_whole, found.torn_bytes) == (True, True, len(SEALED[1]))
    assert repair(path).kept == 2
    assert path.read_bytes() == SEALED[0] + b"\n" + SEALED[1] + b"\n"


def test_a_repair_needs_the_log_for_itself(path: Path) -> None:
    """While a collector has the log open, nothing is touched, and the collector is named."""
    content = put(path, SEALED[0], TORN)
    with (
        ResultLog(path, skip_bad=True),
        pytest.raises(LogError, match=f"process {os.getpid()} on .* is writing this log"),
    ):
        repair(path)
    assert path.read_bytes() == content


def test_a_repair_that_fails_leaves_the_log(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room for a copy the log stays as it is, and no half copy is left."""
    content = put(path, SEALED[0], TORN, SEALED[2])

    def fail(fd: int) -> None:
        if ".repair." in str(Path(f"/proc/self/fd/{fd}").readlink()):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(LogError, match="No space left on device; the log is as it was"):
        repair(path)
    assert path.read_bytes() == content
    assert not list(path.parent.glob("*.repair.*"))


def test_the_mode_of_the_log_stays(path: Path) -> None:
    """Whoever could read the log can read the repaired one."""
    put(path, TORN)
    path.chmod(0o664)
    repair(path)
    assert path.stat().st_mode & 0o777 == 0o664


def test_a_line_full_of_starts_is_no_trap() -> None:
    """A megabyte of what looks like rows takes no longer than a moment."""
    assert rescue(b'{"id":' * 200_000 + SEALED[0][-29:]) == []


def test_the_commands_say_what_they_found(path: Path) -> None:
    """verify: exit 0 and 1, text and JSON, the next command; repair: what it did; none: exit 2."""
    run = CliRunner()
    put(path, SEALED[0], CHANGED + SEALED[2], SEALED[3])
    found = run.invoke(cli, ["log", "verify", str(path)], standalone_mode=False)
    assert found.return_value == 1
    assert "line 2 (byte " in found.stdout
    assert "its checksum is wrong" in found.stdout
    assert f"hipopt log repair {path}" in found.stdout.splitlines()[-1]
    as_json = run.invoke(cli, ["log", "verify", "--json", str(path)], standalone_mode=False)
    assert json.loads(as_json.stdout)["damaged"] == 1
    mended = run.invoke(cli, ["log", "repair", str(path)], standalone_mode=False)
    assert f"1 damaged lines set aside in {path}.damaged" in mended.stdout
    assert "1 whole rows on them kept" in mended.stdout
    found = run.invoke(cli, ["log", "verify", str(path)], standalone_mode=False)
    assert (found.return_value, found.stdout.splitlines()[-1]) == (0, "Sound.")
    missing = run.invoke(cli, ["log", "verify", str(path) + "x"], standalone_mode=False)
    assert missing.exception is not None
    assert "there is no such log" in str(missing.exception)
