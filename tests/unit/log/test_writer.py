import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hipopt.errors import LogError
from hipopt.log.line import seal
from hipopt.log.reader import LogReader
from hipopt.log.writer import ResultLog
from hipopt.messages import RowLine
from hipopt.records import KernelId


def row(kernel_id: object, **more: object) -> bytes:
    return json.dumps({"id": kernel_id, "status": "success", "name": "k", **more}).encode()


def result(kernel_id: KernelId, retry: int = 0, **more: object) -> RowLine:
    return RowLine(kernel_id, row(kernel_id, retry=retry, **more), retry)


def written(*results: RowLine) -> bytes:
    """What the log holds of them."""
    return b"".join(seal(found.line) + b"\n" for found in results)


ROWS = [row(1), seal(row("é\n")), row(2, opt_kernel="x" * 50), seal(row(3))]
WHOLE = b"".join(line + b"\n" for line in ROWS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def test_what_was_appended_is_restored(path: Path) -> None:
    """A log opened again knows what is done, and drops and counts what comes again."""
    with ResultLog(path) as log:
        assert log.append([result(1), result("a"), result(1)]) == [1, "a"]
        assert log.duplicates == 1
    with ResultLog(path) as log:
        assert (len(log), 1 in log, "1" in log, log.notices) == (2, True, False, [])
        assert log.append([result(1, other=True), result("1")]) == ["1"]
    assert path.read_bytes() == written(result(1), result("a"), result("1"))


def test_a_retry_supersedes(path: Path) -> None:
    """A row of a higher retry is written and counts; one that is not higher is dropped."""
    first, second, third = result(1), result(1, 1), result(1, 2)
    with ResultLog(path) as log:
        assert log.append([first, second, result(1, 1, late=True)]) == [1, 1]
        assert (len(log), log.duplicates) == (1, 1)
    with ResultLog(path) as log:
        assert log.append([first, second, result(1, 1)]) == []
        assert log.append([third]) == [1]
        assert (len(log), log.duplicates) == (1, 3)
    assert path.read_bytes() == written(first, second, third)
    reader = LogReader(path)
    assert [(line.id, line.retry) for line in reader.poll()] == [(1, 0), (1, 1), (1, 2)]
    assert (len(reader.rows), reader.rows[1].retry) == (1, 2)
    assert (reader.duplicates, reader.superseded) == (0, 2)


@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(cut=st.integers(0, len(WHOLE)))
def test_a_log_cut_anywhere_keeps_every_whole_row(tmp_path: Path, cut: int) -> None:
    """After a crash at any byte, every row that is whole counts, and the rest is set aside."""
    path = tmp_path / f"{cut}.jsonl"
    path.write_bytes(WHOLE[:cut])
    kept = [line for i, line in enumerate(ROWS) if len(b"\n".join(ROWS[: i + 1])) <= cut]
    with ResultLog(path) as log:
        assert len(log) == len(kept)
        log.append([result("new")])
    assert path.read_bytes() == b"".join(line + b"\n" for line in kept) + written(result("new"))
    torn = WHOLE[:cut].removeprefix(b"\n".join(kept)).strip(b"\n")
    aside = path.with_name(path.name + ".torn")
    assert (aside.read_bytes().rstrip(b"\n") if aside.exists() else b"") == torn


@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(cuts=st.lists(st.integers(0, len(WHOLE)), max_size=5).map(sorted))
def test_a_reader_sees_each_row_once_however_it_arrives(tmp_path: Path, cuts: list[int]) -> None:
    """Polling a growing log gives every row once, and never writes to the file."""
    path = tmp_path / "growing.jsonl"
    reader = LogReader(path)
    path.unlink(missing_ok=True)
    found = list(reader.poll())
    path.touch()
    for start, end in zip([0, *cuts], [*cuts, len(WHOLE)], strict=True):
        with path.open("ab") as file:
            file.write(WHOLE[start:end])
        found += reader.poll()
    assert [line.id for line in found] == [1, "é\n", 2, 3]
    assert path.read_bytes() == WHOLE


def test_a_plain_scripts_log_counts(path: Path) -> None:
    """Lines with just id and status are honoured; what is not final is not done; the first wins."""
    lines = [
        {"id": 1, "status": "success"},
        {"id": 2, "status": "running"},
        {"id": 1, "status": "failure"},
        {"id": 3, "status": "failure", "failure_kind": 7},
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    reader = LogReader(path)
    reader.poll()
    assert {i: r.status for i, r in reader.rows.items()} == {1: "success", 3: "failure"}
    assert reader.duplicates == 1
    with ResultLog(path) as log:
        assert (len(log), 2 in log) == (2, False)


def test_a_log_that_was_cut_and_grew_again_is_read_anew(path: Path) -> None:
    """Rows that a failed fsync took back don't count, however long the log is by the next look."""
    path.write_bytes(written(result(1), result(2)))
    reader = LogReader(path)
    assert len(reader.poll()) == 2
    path.write_bytes(written(result(1), result(3), result(4)))
    assert [line.id for line in reader.poll()] == [1, 3, 4]
    assert list(reader.rows) == [1, 3, 4]


def test_a_reader_that_is_left_early_reads_on_from_there(path: Path) -> None:
    """Whoever takes one row at a time loses none when it stops."""
    path.write_bytes(WHOLE)
    reader = LogReader(path)
    assert next(reader.read_on()).id == 1
    assert [line.id for line in reader.poll()] == ["é\n", 2, 3]


@pytest.mark.parametrize(
    "bad",
    [
        b"{oops", b"\0" * 40, b"7", b'{"id":true,"status":"success"}', b"[" * 100_000,
        row(7)[:-1] + b',"x":"\xff"}', seal(row(7)).replace(b"success", b"failure"),
        ROWS[3] + ROWS[3], ROWS[3][:9] + ROWS[3],
    ],
    ids=["torn", "NULs", "number", "id", "deep", "UTF-8", "changed", "glued", "half and whole"],
)  # fmt: skip
def test_a_bad_line_in_the_middle_stops_the_start(path: Path, bad: bytes) -> None:
    """Corruption is named by line and byte, and read over only when told to; nothing is cut."""
    content = ROWS[0] + b"\n" + bad + b"\n" + ROWS[2] + b"\n"
    path.write_bytes(content)
    with pytest.raises(LogError, match=rf"line 2 \(byte {len(ROWS[0]) + 1}\)"):
        ResultLog(path)
    with pytest.raises(LogError, match=f"hipopt log repair {path}\n.*--skip-bad-lines"):
        LogReader(path).poll()
    with ResultLog(path, skip_bad=True) as log:
        assert len(log) == 2
        assert "skipped 1 lines" in log.notices[0]
    assert path.read_bytes() == content


def test_a_log_that_was_replaced_is_read_anew(path: Path) -> None:
    """A reader forgets what stood in a file that is gone or was cut."""
    path.write_bytes(WHOLE)
    reader = LogReader(path)
    assert len(reader.poll()) == 4
    os.truncate(path, len(ROWS[0]) + 1)
    assert [line.id for line in reader.poll()] == [1]
    assert list(reader.rows) == [1]


def test_a_second_collector_is_refused(path: Path) -> None:
    """One log has one writer; the refusal names the process that holds it."""
    with (
        ResultLog(path),
        pytest.raises(LogError, match=f"process {os.getpid()} on "),
    ):
        ResultLog(path)
    ResultLog(path).close()


HOLDER = """
import sys
from collections.abc import Callable
from pathlib import Path
from hipopt.log.writer import ResultLog
with ResultLog(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_killed_holder_frees_the_log(path: Path) -> None:
    """The lock dies with its process, however that dies."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LogError, match=f"process {holder.pid}"):
            ResultLog(path)
        holder.kill()
    ResultLog(path).close()


def test_a_failed_fsync_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that may not be on the disk are cut off again, and the log takes no more."""
    with ResultLog(path) as log:
        log.append([result(1)])

        def fail(_: int) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(LogError, match="Input/output error"):
            log.append([result(2)])
        monkeypatch.undo()
        assert 2 not in log
        with pytest.raises(LogError, match="restart the collector"):
            log.append([result(3)])
    assert path.read_bytes() == written(result(1))


def test_rows_that_a_killed_collector_wrote_are_synced_before_they_count(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log is open only once all that it holds is on the disk: what is in it is dropped later."""
    path.write_bytes(WHOLE)
    synced: list[Path] = []

    def name(fd: int) -> Path:
        return Path(f"/proc/self/fd/{fd}").readlink()

    def fail(fd: int) -> None:
        if name(fd) == path:
            raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: synced.append(name(fd)))
        ResultLog(path).close()
    assert synced[-1] == path
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(LogError, match="can't be synced to the disk: Input/output error"):
        ResultLog(path)


@pytest.mark.parametrize(
    "mishap",
    [
        lambda path: path.rename(path.with_name("elsewhere")),
        lambda path: path.unlink(),
        lambda path: path.with_name("another").replace(path),
    ],
    ids=["moved", "deleted", "replaced"],
)
def test_a_log_that_lost_its_name_is_noticed(path: Path, mishap: Callable[[Path], object]) -> None:
    """Rows never go into a file that has lost its name, nor into one that took it."""
    path.with_name("another").write_bytes(WHOLE)
    with ResultLog(path) as log:
        mishap(path)
        with pytest.raises(LogError, match="moved, replaced or deleted"):
            log.append([result(1)])
    assert not path.exists() or path.read_bytes() == WHOLE


def test_a_full_disk_costs_no_row(small_disk: Path) -> None:
    """A batch that does not fit is not in the log at all, and fits once there is room."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(40 << 10))
    batch = [result(i, opt_kernel="x" * 4000) for i in range(10)]
    path = small_disk / "log.jsonl"
    with ResultLog(path) as log:
        log.append([result("a")])
        with pytest.raises(LogError, match="No space left on device"):
            log.append(batch)
    assert path.read_bytes() == written(result("a"))
    ballast.unlink()
    with ResultLog(path) as log:
        assert log.append(batch) == list(range(10))


LIMITED = """
import resource, sys
from pathlib import Path
from hipopt.errors import LogError
from hipopt.messages import RowLine
from hipopt.log.writer import ResultLog

path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
row = lambda i: RowLine(i, b'{"id":%d,"status":"success"}' % i)
with ResultLog(path) as log:
    log.append([row(0)])
    try:
        log.append(map(row, range(1, 100)))
    except LogError as error:
        print(error)
"""


@pytest.mark.parametrize("room", [70, 100, 1000])
def test_a_write_that_stops_in_the_middle_is_taken_back(path: Path, room: int) -> None:
    """A batch of which the system takes only a part leaves nothing, wherever the part ends."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, path, str(room)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "File too large. Nothing is lost: results wait at the broker" in done.stdout
    assert path.read_bytes() == seal(b'{"id":0,"status":"success"}') + b"\n"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A log that can't be made is a LogError with its name."""
    (tmp_path / "file").touch()
    with pytest.raises(LogError, match="can't be opened"):
        ResultLog(tmp_path / "file" / "log.jsonl")


def test_the_lock_is_flock(path: Path) -> None:
    """Other tools can respect the lock: it is an flock on LOG.lock."""
    with (
        ResultLog(path),
        path.with_name("log.jsonl.lock").open() as file,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
