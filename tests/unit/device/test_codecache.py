"""What the cache of compiled kernels keeps, and what it lets go."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from hipopt.device import codecache
from hipopt.device.codecache import CodeCache, note_use

PARTS = 256


def key_of(number: int, part: str = "aa") -> str:
    """A key in a part of the cache."""
    return part + hashlib.sha256(str(number).encode()).hexdigest()[2:]


def made(scratch: Path, content: bytes) -> Path:
    """A finished entry of one file, not yet published."""
    scratch.mkdir(parents=True)
    (scratch / "file").write_bytes(content)
    return scratch


def publish(cache: CodeCache, scratch: Path, number: int, age_s: float = 0.0) -> Path:
    """An entry of 100 bytes that was last used `age_s` ago."""
    place = cache.publish(made(scratch / f"made-{number}", b"x" * 100), key_of(number))
    used = time.time() - age_s
    os.utime(place, (used, used))
    return place


def test_finds_what_was_published(tmp_path: Path) -> None:
    """An entry is found under its key only, with its content."""
    cache = CodeCache(tmp_path / "cache")
    assert cache.find(key_of(1)) is None
    place = cache.publish(made(tmp_path / "made", b"content"), key_of(1))
    assert cache.find(key_of(1)) == place
    assert (place / "file").read_bytes() == b"content"
    assert cache.find(key_of(2)) is None


def test_first_writer_stays(tmp_path: Path) -> None:
    """Of two writers of one key the first's entry stays, and the second is given it."""
    cache = CodeCache(tmp_path / "cache")
    first = cache.publish(made(tmp_path / "one", b"same"), key_of(1))
    inode = (first / "file").stat().st_ino
    assert cache.publish(made(tmp_path / "two", b"same"), key_of(1)) == first
    assert (first / "file").stat().st_ino == inode


def test_least_recently_used_goes(tmp_path: Path) -> None:
    """Where there is no room, what was used longest ago goes, whenever it was written."""
    cache = CodeCache(tmp_path / "cache", max_bytes=350 * PARTS)
    for number, age_s in ((1, 9000.0), (2, 8000.0), (3, 7000.0)):
        publish(cache, tmp_path, number, age_s)
    assert cache.find(key_of(1)) is not None  # used now
    publish(cache, tmp_path, 4)
    kept = [number for number in (1, 2, 3, 4) if cache.find(key_of(number)) is not None]
    assert kept == [1, 3, 4]
    assert not list((tmp_path / "cache").glob("old-*"))


def test_used_within_the_hour_stays(tmp_path: Path) -> None:
    """What a judge may still hold stays, though there is no room for it."""
    cache = CodeCache(tmp_path / "cache", max_bytes=150 * PARTS)
    publish(cache, tmp_path, 1, codecache.KEPT_S / 2)
    old = publish(cache, tmp_path, 2, 2 * codecache.KEPT_S)
    note_use(old / "file")
    publish(cache, tmp_path, 3)
    assert all(cache.find(key_of(number)) for number in (1, 2, 3))
