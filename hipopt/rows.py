"""The rows of a manifest by id: where each stands, so that any is read without those before it.

Guarantee: one pass over the file; after it a row costs one read, and memory some twenty bytes a row
beside its id. Price: a gzipped manifest is unpacked into a temporary file (`TMPDIR`), which is gone
when this process is, however it ends.
"""

from __future__ import annotations

import gzip
import re
import shutil
import tempfile
import weakref
import zlib
from array import array
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import msgspec

from hipopt.errors import ManifestError
from hipopt.ids import Ids
from hipopt.manifest import Manifest, plain, row_id, task_of
from hipopt.records import KernelId, KernelTask

_CHUNK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}"]', re.DOTALL)
_SEPARATOR = re.compile(rb"[\s,]*+")
_OPENING = frozenset(b"[{")
_QUOTE = ord('"')

_Found = tuple[int, int, bytes]
"""A row's number (of its line, or among the elements), where it starts, and its bytes."""


class Rows:
    """The rows of a manifest. Making one reads the whole file once.

    Raises:
        ManifestError: as `Manifest.ids`; what is wrong with a row beyond its id is told later.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file, self._is_lines = _opened(path)
        self.close = weakref.finalize(self, self._file.close)
        """Closes the file; so does the end of this object."""
        ids: list[KernelId] = []
        numbers, starts, sizes = array("I"), array("Q"), array("I")
        try:
            for number, start, row in self._scan():
                ids.append(row_id(row))
                numbers.append(number)
                starts.append(start)
                sizes.append(len(row))
        except (ValueError, RecursionError, OverflowError):
            self._explain()
        by_rank = _by_rank(ids)
        self.ids = Ids(ids[n] for n in by_rank)
        if not ids or any(a == b and type(a) is type(b) for a, b in pairwise(self.ids)):
            self._explain()
        self._numbers = array("I", (numbers[n] for n in by_rank))
        self._starts = array("Q", (starts[n] for n in by_rank))
        self._sizes = array("I", (sizes[n] for n in by_rank))

    def place(self, rank: int) -> str:
        """Where the row stands, as a person finds it."""
        return f"{'line' if self._is_lines else 'row'} {self._numbers[rank]}"

    def task(self, rank: int) -> KernelTask:
        """The kernel with the id of that rank.

        Raises:
            ManifestError: the row lacks a field, has one of a wrong type, or bad workloads; or the
                file was changed meanwhile.
        """
        try:
            self._file.seek(self._starts[rank])
            row = self._file.read(self._sizes[rank])
            raw = msgspec.json.decode(row)
            changed = row_id(row) != self.ids[rank]
        except (ValueError, RecursionError, OSError):
            changed = True
        if changed:
            raise ManifestError(
                f"{self.path}: {self.place(rank)} (id {self.ids[rank]!r}): no longer stands where "
                "it stood: the file was changed; dispatch again"
            )
        return task_of(self.path, self.place(rank), raw)

    def _scan(self) -> Iterator[_Found]:
        self._file.seek(0)
        return _lines(self._file) if self._is_lines else _elements(self._file)

    def _explain(self) -> NoReturn:
        """The error that says what is wrong with the file, and where."""
        Manifest(self.path).ids()
        raise ManifestError(f"{self.path}: not valid JSON; expected an array or lines of kernels")


def _by_rank(ids: list[KernelId]) -> list[int]:
    """Indices of the ids, by their order. No keys are made, which would take more than the ids."""
    get: Any = ids.__getitem__
    numbers = sorted((n for n, i in enumerate(ids) if not isinstance(i, str)), key=get)
    numbers += sorted((n for n, i in enumerate(ids) if isinstance(i, str)), key=get)
    return numbers


def _opened(path: Path) -> tuple[BinaryIO, bool]:
    """The file, unpacked if need be, and whether it holds lines."""
    try:
        with path.open("rb") as file:
            content = plain(file)
            if content is not file:
                return _unpacked(path, content)
    except OSError:
        Manifest(path).ids()  # which knows the words
        raise
    file = path.open("rb")
    return file, _first(file) != b"["


def _unpacked(path: Path, content: BinaryIO) -> tuple[BinaryIO, bool]:
    spool = tempfile.TemporaryFile(prefix="hipopt-manifest-")  # noqa: SIM115 (lives as long as we)
    try:
        shutil.copyfileobj(content, spool, _CHUNK)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        spool.close()
        Manifest(path).ids()
        raise
    return spool, _first(spool) != b"["


def _first(file: BinaryIO) -> bytes:
    """The first byte that is neither a byte order mark nor white space."""
    file.seek(0)
    head = b""
    while chunk := file.read(_CHUNK):
        head = (head + chunk).removeprefix(_BOM).lstrip()
        if head and not _BOM.startswith(head):
            break
    return head[:1]


def _lines(file: BinaryIO) -> Iterator[_Found]:
    start = 0
    for number, line in enumerate(file, 1):
        row = line.removeprefix(_BOM) if not start else line
        if row.strip():
            yield number, start + len(line) - len(row), row
        start += len(line)


def _elements(file: BinaryIO) -> Iterator[_Found]:
    """The elements of an array. ValueError: it is none, or holds something else than objects."""
    buffer = b""
    while b"[" not in buffer:
        buffer = _longer(file, buffer)
    at = buffer.index(b"[") + 1
    base = number = 0
    while True:
        found = _SEPARATOR.match(buffer, at)
        start = found.end() if found else at
        end = _end(buffer, start)
        if end:
            if buffer[at:start].strip() != (b"," if number else b""):
                raise ValueError("elements are separated by one comma")
            number += 1
            yield number, base + start, buffer[start:end]
            at = end
        elif buffer[start : start + 1] == b"]":
            _check_end(file, buffer[at:start] + buffer[start + 1 :])
            return
        else:
            base += at
            buffer, at = _longer(file, buffer[at:]), 0


def _longer(file: BinaryIO, buffer: bytes) -> bytes:
    more = file.read(max(_CHUNK, len(buffer)))
    if not more:
        raise ValueError("the array has no end")
    return buffer + more


def _check_end(file: BinaryIO, rest: bytes) -> None:
    while rest:
        if rest.strip():
            raise ValueError("something follows the array")
        rest = file.read(_CHUNK)


def _end(buffer: bytes, start: int) -> int:
    """Where the object that starts there ends; 0: not in this buffer, or there is none."""
    if buffer[start : start + 1] != b"{":
        return 0
    depth = 0
    for token in _TOKEN.finditer(buffer, start):
        first, size = buffer[token.start()], token.end() - token.start()
        if first == _QUOTE:
            if size == 1:  # a string that goes on beyond the buffer
                return 0
            continue
        depth += 1 if first in _OPENING else -1
        if not depth:
            return token.end()
    return 0
