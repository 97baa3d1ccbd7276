"""The manifest: the read-only list of all kernels, streamed row by row.

Guarantee: the file is only ever opened for reading; at most one row is held in memory; a row that
is not a kernel stops the reading with a `ManifestError` that names the file and the row or line.
Price: every pass parses the file again (about 0.3 s per 100 MB).
Scope: a JSON array or JSON Lines, each plain or gzipped, in UTF-8 (a byte order mark is put up
with). Which of them it is, is told by the content, never by the name.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import ijson
import msgspec

from hipopt.errors import ManifestError, WorkloadError
from hipopt.includes import with_includes
from hipopt.records import KernelId, KernelTask, Workload

MAX_SOURCE_BYTES = 4 * 1024 * 1024
"""A `hip_file` beyond this is not sent along; no compilation unit written by a person is as big."""

MAX_DEPTH = 100
"""Deepest nesting of a JSON array that is read; a manifest needs five."""

_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_EXPECTED = "expected a JSON array of kernels, or one JSON object a line"

Rows = Iterator[tuple[str, Any]]
"""Pairs of where a row stands ("row 3", "line 3") and what stands there."""


class _Row(msgspec.Struct):
    """The fields of a manifest row that hipopt reads; others are ignored."""

    id: KernelId
    name: str
    code_body: str
    hip_file: str | None = None
    workloads: list[Any] | None = None


class _Id(msgspec.Struct):
    id: KernelId


_id = msgspec.json.Decoder(_Id)


class Manifest:
    """A manifest on disk. Making one reads nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ids(self) -> list[KernelId]:
        """The id of every row, in the file's order; nothing else of the rows is kept.

        Raises:
            ManifestError: an id is missing, of another type than int or string, or repeated;
                or there is no row at all.
        """
        places: dict[KernelId, str] = {}
        with _reading(self.path) as stream:
            for place, raw in stream:
                kernel_id = _convert(raw, _Id, self.path, place).id
                if kernel_id in places:
                    raise ManifestError(
                        f"{self.path}: {place}: id {kernel_id!r} stands already in "
                        f"{places[kernel_id]}; every kernel needs an id of its own"
                    )
                places[kernel_id] = place
        if not places:
            raise ManifestError(f"{self.path}: holds no kernel; {_EXPECTED}")
        return list(places)

    def tasks(self, wanted: Callable[[KernelId], bool] = lambda _: True) -> Iterator[KernelTask]:
        """The wanted rows as tasks, in the file's order, each with its file's text if on disk.

        Raises:
            ManifestError: a wanted row lacks a field, has one of a wrong type, or bad workloads.
        """
        with _reading(self.path) as stream:
            for place, raw in stream:
                if wanted(_convert(raw, _Id, self.path, place).id):
                    yield task_of(self.path, place, raw)


def row_id(row: bytes) -> KernelId:
    """The id of a row, which is JSON throughout.

    Raises:
        ValueError: it is not, or has no id.
    """
    if not row.isascii():
        row.decode()  # the decoder looks only at what it keeps
    return _id.decode(row).id


def task_of(path: Path, place: str, raw: object) -> KernelTask:
    """A row of the manifest at `path` as a task, with its file's text if on disk.

    Raises:
        ManifestError: the row lacks a field, has one of a wrong type, or bad workloads.
    """
    row = _convert(raw, _Row, path, place)
    try:
        workloads = tuple(Workload.from_json(w) for w in row.workloads or ())
    except WorkloadError as error:
        raise ManifestError(f"{path}: {place} (id {row.id!r}): workloads: {error}") from None
    return KernelTask(
        id=row.id,
        name=row.name,
        code_body=row.code_body,
        hip_file=row.hip_file,
        hip_source=read_source(path.parent, row.hip_file),
        workloads=workloads,
    )


def read_source(folder: Path, hip_file: str | None) -> str | None:
    """The text of `hip_file`, relative to `folder`; None where no such regular file can be read.

    Bytes that are not UTF-8 become replacement characters: old sources hold them in comments.
    """
    if not hip_file or "\0" in hip_file:
        return None
    path = folder / hip_file
    try:
        if not path.is_file() or path.stat().st_size > MAX_SOURCE_BYTES:
            return None
        return with_includes(path, path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None


@contextmanager
def _reading(path: Path) -> Iterator[Rows]:
    """The rows of the file, every way of not being readable turned into a ManifestError."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror}; is this the manifest you meant?") from None
    with file:
        try:
            yield _rows(path, plain(file))
        except OSError as error:  # reading gzip and disk errors come out of the generator below
            raise ManifestError(f"{path}: can't be read: {error}") from None


def plain(file: io.BufferedReader) -> io.BufferedReader:
    """The file's content, unpacked if it is gzipped."""
    if file.peek(2)[:2] != _GZIP_MAGIC:
        return file
    return io.BufferedReader(gzip.GzipFile(fileobj=file), 1 << 20)


def _rows(path: Path, stream: io.BufferedReader) -> Rows:
    place = "the start"
    try:
        first, line = _first_byte(path, stream)
        for place, row in _array(path, stream) if first == b"[" else _lines(path, stream, line):
            yield place, row
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ManifestError(
            f"{path}: the gzip data breaks off or is damaged after {place} ({error}); "
            "copy the file again"
        ) from None


def _first_byte(path: Path, stream: io.BufferedReader) -> tuple[bytes, int]:
    """The first byte that is no byte order mark and no white space, still unread; and its line."""
    line = 1
    head = stream.peek(4)[:4]
    if head[:2] in _UTF16_MARKS or b"\0" in head:
        raise ManifestError(f"{path}: looks like UTF-16 or UTF-32; save it as UTF-8")
    if head.startswith(_BOM):
        stream.read(len(_BOM))
    while (head := stream.peek(1)[:1]).isspace():
        line += stream.read(1) == b"\n"
    if not head:
        raise ManifestError(f"{path}: is empty; {_EXPECTED}")
    if head not in (b"[", b"{"):
        raise ManifestError(f"{path}: begins with {head!r}; {_EXPECTED}")
    return head, line


def _array(path: Path, stream: io.BufferedReader) -> Rows:
    number = 0
    try:
        for row in _items(stream):
            number += 1
            yield f"row {number}", row
    except (ijson.JSONError, RecursionError) as error:
        reason = str(error).splitlines()[0].removeprefix("b'").split("\\n")[0]
        raise ManifestError(
            f"{path}: row {number + 1}: not valid JSON ({reason}); "
            f"{number} rows before it are well; is the file complete?"
        ) from None


def _items(stream: io.BufferedReader) -> Iterator[Any]:
    """The elements of the array at the top, built from events.

    `ijson.items` would do, but it joins a path for every event, which on an array nested 100,000
    deep takes all memory, and its fast numbers stop at 64 bits.
    """
    depth = 0
    builder = ijson.ObjectBuilder()
    for event, value in ijson.basic_parse(stream):
        depth -= event in ("end_map", "end_array")
        inside = depth > 0
        if inside:
            builder.event(event, float(value) if isinstance(value, Decimal) else value)
        depth += event in ("start_map", "start_array")
        if depth > MAX_DEPTH:
            raise RecursionError(f"nested more than {MAX_DEPTH} deep")
        if inside and depth == 1:
            yield builder.value
            builder = ijson.ObjectBuilder()


def _lines(path: Path, stream: io.BufferedReader, first_line: int) -> Rows:
    for number, line in enumerate(stream, first_line):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line)
        except UnicodeDecodeError:
            raise ManifestError(
                f"{path}: line {number}: not UTF-8 (byte {_bad_byte(line)} of the line); "
                "save it as UTF-8"
            ) from None
        except (msgspec.DecodeError, RecursionError) as error:
            raise ManifestError(
                f"{path}: line {number}: not a whole JSON object ({error}); {_EXPECTED}"
            ) from None
        yield f"line {number}", row


def _bad_byte(line: bytes) -> int:
    """Where the line stops being UTF-8."""
    try:
        return len(line.decode())
    except UnicodeDecodeError as error:
        return error.start


def _convert(raw: object, kind: Any, path: Path, place: str) -> Any:  # noqa: ANN401 (a struct type and its value)
    """`raw` as a struct of `kind`; the error names the row, and its id where it has one."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        known = raw.get("id") if isinstance(raw, dict) else None
        named = f" (id {known!r})" if isinstance(known, int | str) and known is not True else ""
        hint = ""
        if isinstance(raw, dict) and "id" not in raw:
            hint = f" (it has {', '.join(map(repr, list(raw)[:4])) or 'no field at all'})"
        raise ManifestError(
            f"{path}: {place}{named}: {error}{hint}; a kernel has 'id' (int or string), 'name' and "
            "'code_body' (strings)"
        ) from None
