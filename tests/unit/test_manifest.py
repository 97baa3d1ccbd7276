import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hipopt.dispatch.shards import order
from hipopt.errors import ManifestError
from hipopt.manifest import Manifest
from hipopt.records import KernelId, KernelTask
from hipopt.rows import Rows

ROW = {"id": 1, "name": "k", "code_body": "x"}
ids = st.one_of(st.integers(), st.text(max_size=8))


def forms(rows: list[dict[str, object]]) -> list[bytes]:
    """The rows in each form that a manifest may have."""
    array = json.dumps(rows, ensure_ascii=False).encode()
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    plain = [array, json.dumps(rows, indent=2).encode(), lines, b"\n" + lines.rstrip(b"\n")]
    marked = [b"\xef\xbb\xbf" + text for text in plain]
    return [*plain, *marked, *map(gzip.compress, plain)]


def manifest(folder: Path, content: bytes) -> Manifest:
    path = folder / "m"
    path.write_bytes(content)
    return Manifest(path)


def both(read: Manifest) -> list[Callable[[], object]]:
    """The two ways of reading a manifest, which must find the same wrong with it."""
    return [read.ids, lambda: Rows(read.path)]


def by_rank(read: Manifest) -> list[KernelTask]:
    """Every kernel, read by the place of its row, the last first."""
    rows = Rows(read.path)
    found = [rows.task(rank) for rank in reversed(range(len(rows.ids)))]
    return found[::-1]


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(chosen=st.lists(ids, min_size=1, max_size=6, unique_by=lambda i: (type(i), i)))
def test_forms_are_told_apart_by_content(tmp_path: Path, chosen: list[KernelId]) -> None:
    """Array, lines, byte order mark and gzip give the same kernels, whatever the file's name."""
    for content in forms([{**ROW, "id": i, "extra": 1.5} for i in chosen]):
        read = manifest(tmp_path, content)
        assert read.ids() == chosen
        tasks = list(read.tasks())
        assert [task.id for task in tasks] == chosen
        assert by_rank(read) == sorted(tasks, key=lambda task: order(task.id))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"[]", "holds no kernel"),
        (b"hello", "begins with b'h'"),
        (b'{"kernels": [1]}', "line 1: Object missing required field `id` (it has 'kernels')"),
        (b'{\n"kernels": []}', "line 1: not a whole JSON object"),
        (b'[{"id":1},{"id":1}]', "row 2: id 1 stands already in row 1"),
        (b'{"id":1}\n\n{"id":1}', "line 3: id 1 stands already in line 1"),
        (b'[{"name":"k"}]', "row 1: Object missing required field `id`"),
        (b'[{"id":true}]', "row 1: Expected `int | str`, got `bool`"),
        (
            b'[{"id":1.0}]',
            "row 1: Expected `int | str`, got `float`",
        ),
        (b'[{"id":null}]', "row 1: Expected `int | str`, got `null`"),
        (b'{"id":1e3}', "line 1: Expected `int | str`, got `float`"),
        (b"[7]", "row 1: Expected `object`, got `int`"),
        (b'[{"id":1},{"id":', "row 2: not valid JSON (parse error: premature EOF)"),
        (b'[{"id":1}{"id":2}]', "row 2: not valid JSON"),
        (b'[{"id":1}] x', "trailing garbage"),
        (b'{"id":1}\n{"id":', "line 2: not a whole JSON object"),
        (b'{"id":1}\n{"id":"\xff"}', "line 2: not UTF-8 (byte 7"),
        (b'[{"id":"\xff"}]', "row 1: not valid JSON (lexical error: invalid bytes in UTF8"),
        ('[{"id":1}]'.encode("utf-16"), "looks like UTF-16"),
        ('[{"id":1}]'.encode("utf-16-le"), "looks like UTF-16"),
        (b"\x1f\x8bnot gzip at all", "gzip"),
        (b"[" * 100_000, "row 1"),
        (b'{"id":' + b"[" * 100_000, "line 1"),
    ],
)
def test_what_is_no_manifest_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    """A file that is no manifest gives one error with the file, the place and what is wrong."""
    for read in both(manifest(tmp_path, content)):
        with pytest.raises(ManifestError) as error:
            read()
        assert str(tmp_path / "m") in str(error.value)
        assert words in str(error.value)


def test_every_truncated_gzip_is_told(tmp_path: Path) -> None:
    """A gzip that breaks off anywhere is an error, never a shorter manifest."""
    whole = gzip.compress(json.dumps([{**ROW, "id": i} for i in range(50)]).encode(), mtime=0)
    for length in range(2, len(whole)):
        for read in both(manifest(tmp_path, whole[:length])):
            with pytest.raises(ManifestError):
                read()


def test_every_truncated_array_is_told(tmp_path: Path) -> None:
    """An array that breaks off anywhere is an error, never a shorter manifest."""
    whole = json.dumps([{**ROW, "id": i} for i in range(3)]).encode()
    for length in range(len(whole)):
        for read in both(manifest(tmp_path, whole[:length])):
            with pytest.raises(ManifestError):
                read()


@pytest.mark.parametrize("missing", ["nowhere.json", "."])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, missing: str) -> None:
    """A missing file, or a folder, is a ManifestError and no OSError."""
    for read in both(Manifest(tmp_path / missing)):
        with pytest.raises(ManifestError, match=str(tmp_path)):
            read()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"id": 7, "name": "k"}, "row 1 (id 7): Object missing required field `code_body`"),
        ({"id": "a", "name": 3, "code_body": ""}, "row 1 (id 'a'): Expected `str`, got `int`"),
        ({**ROW, "workloads": [{"grid": 0}]}, "row 1 (id 1): workloads: "),
        ({**ROW, "workloads": 5}, "row 1 (id 1): Expected `array | null`"),
    ],
)
def test_bad_rows_are_named_with_their_id(tmp_path: Path, row: object, words: str) -> None:
    """A row that is no kernel is named by its place and id, with the field at fault."""
    read = manifest(tmp_path, json.dumps([row]).encode())
    for tasks in (lambda: list(read.tasks()), lambda: by_rank(read)):
        with pytest.raises(ManifestError) as error:
            tasks()
        assert words in str(error.value)


def test_only_wanted_rows_are_checked(tmp_path: Path) -> None:
    """A bad row of a kernel that is done already stops nobody."""
    read = manifest(tmp_path, json.dumps([{"id": 1}, {**ROW, "id": 2}]).encode())
    assert [task.id for task in read.tasks(lambda i: i == 2)] == [2]


def test_the_kernels_file_is_read_from_beside_the_manifest(tmp_path: Path) -> None:
    """`hip_file` is relative to the manifest or absolute; what is not on disk leaves None."""
    (tmp_path / "a.hip").write_bytes(b"caf\xe9")
    named = ["a.hip", str(tmp_path / "a.hip"), "b.hip", ".", "", "\0", None]
    rows = [{**ROW, "id": i, "hip_file": name} for i, name in enumerate(named)]
    tasks = list(manifest(tmp_path, json.dumps(rows).encode()).tasks())
    assert [t.hip_source for t in tasks] == ["caf\N{REPLACEMENT CHARACTER}"] * 2 + [None] * 5
    assert [t.hip_file for t in tasks] == named


def test_the_manifest_is_only_read(tmp_path: Path) -> None:
    """Reading works on a file that nobody may write, and leaves its bytes and times alone."""
    read = manifest(tmp_path, json.dumps([ROW]).encode())
    read.path.chmod(0o400)
    before = read.path.stat()
    read.ids()
    list(read.tasks())
    after = read.path.stat()
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)


def test_rows_are_found_wherever_a_read_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Braces, quotes and backslashes in strings, and reads that end amid them, mislead nobody."""
    code = '}{][ \\" \\\\" "\n é , ] }'
    rows = [{"a": [{"}": "{"}], **ROW, "id": i, "code_body": code * (i + 1)} for i in range(9)]
    for content in forms(rows):
        read = manifest(tmp_path, content)
        expected = list(read.tasks())
        for chunk in (2, 3, 7, 64):
            monkeypatch.setattr("hipopt.rows._CHUNK", chunk)
            assert by_rank(read) == expected


def test_a_bad_row_is_named_by_its_line(tmp_path: Path) -> None:
    """In JSON Lines the place is the line, blank ones counted; other rows are read all the same."""
    good = json.dumps({**ROW, "id": 2}).encode()
    read = manifest(tmp_path, b'\n{"id": 1}\n\n' + good)
    rows = Rows(read.path)
    with pytest.raises(ManifestError, match=r"line 2 \(id 1\)"):
        rows.task(0)
    assert rows.task(1).id == 2


def test_a_manifest_that_changes_meanwhile_is_told(tmp_path: Path) -> None:
    """A row that no longer stands where it stood is an error, never another kernel."""
    lines = [json.dumps({**ROW, "id": i}).encode() + b"\n" for i in (1, 2)]
    read = manifest(tmp_path, b"".join(lines))
    rows = Rows(read.path)
    read.path.write_bytes(b"".join(lines[::-1]))
    with pytest.raises(ManifestError, match="the file was changed"):
        rows.task(0)
