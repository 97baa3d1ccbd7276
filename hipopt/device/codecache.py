"""Compiled kernels by the hash of all that went into them, shared by a node's workers.

Guarantee: an entry appears whole or not at all, whoever writes at the same time; the least recently
used go when there is no room. What was used within the last hour stays, since a judge may hold its
path between two replies of a model; so a cache can be larger than its bound for as long.
Price: one look through 1/256 of the entries for each that is written. Scope: one file system.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

MAX_BYTES = 16 << 30
KEPT_S = 3600.0
_PARTS = 256


def note_use(path: Path) -> None:
    """The entry that holds the file counts as used just now."""
    with suppress(OSError):  # whoever opens it says what is wrong
        os.utime(path.parent)


class _Entry(NamedTuple):
    used: float
    path: Path
    size: int


class CodeCache:
    """A folder of entries, each a directory of files named by a hash in hexadecimal."""

    def __init__(self, directory: Path, max_bytes: int = MAX_BYTES) -> None:
        self._directory = directory
        self._part_bytes = max_bytes // _PARTS

    def find(self, key: str) -> Path | None:
        """The entry's directory, noted as used just now; None where there is none."""
        place = self._place(key)
        try:
            os.utime(place)
        except OSError:
            return None
        return place

    def publish(self, made: Path, key: str) -> Path:
        """The directory `made` is the entry, unless another process was faster with the same."""
        place = self._place(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            made.rename(place)
        except OSError:
            if not place.exists():
                raise
        os.utime(place)
        self._trim(place.parent)
        return place

    def _place(self, key: str) -> Path:
        return self._directory / key[:2] / key

    def _trim(self, part: Path) -> None:
        entries = sorted(_entries(part))
        excess = sum(entry.size for entry in entries) - self._part_bytes
        oldest_kept = time.time() - KEPT_S
        for entry in entries:
            if excess <= 0 or entry.used > oldest_kept:
                return
            if _remove(entry, self._directory):
                excess -= entry.size


def _entries(part: Path) -> list[_Entry]:
    found = []
    for path in part.iterdir():
        with suppress(OSError):  # another process removes it
            size = sum(file.stat().st_size for file in path.iterdir())
            found.append(_Entry(path.stat().st_mtime, path, size))
    return found


def _remove(entry: _Entry, directory: Path) -> bool:
    """The entry is gone at once, unless someone has just used it; whether this process did it."""
    try:
        if entry.path.stat().st_mtime != entry.used:
            return False
        with tempfile.TemporaryDirectory(dir=directory, prefix="old-") as trash:
            entry.path.rename(Path(trash) / "entry")
            shutil.rmtree(Path(trash) / "entry", ignore_errors=True)
    except OSError:
        return False
    return True
