"""Files that must survive a crash: whole appends, durable names, and the lock on a log.

Guarantee: what a function here has returned for is on the disk. Scope: local file systems, which
keep the promises of fsync and flock; of the network ones see docs/log.md.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from hipopt.errors import LogError

_CHUNK = 1 << 16


def torn_path(log: Path) -> Path:
    """Where the cut-off last lines of a log are kept."""
    return _beside(log, ".torn")


def damaged_path(log: Path) -> Path:
    """Where damaged lines of a log are kept."""
    return _beside(log, ".damaged")


def rejected_path(log: Path) -> Path:
    """Where messages are kept that were no results."""
    return _beside(log, ".rejected.jsonl")


def set_aside(log: Path) -> dict[str, int]:
    """How many lines stand in each side file, by its name; those that aren't there are left out.

    Raises:
        OSError: one can't be read.
    """
    counts: dict[str, int] = {}
    for path in (torn_path(log), damaged_path(log), rejected_path(log)):
        with suppress(FileNotFoundError), path.open("rb") as file:
            counts[path.name] = sum(
                chunk.count(b"\n") for chunk in iter(partial(file.read, _CHUNK), b"")
            )
    return counts


def _beside(log: Path, ending: str) -> Path:
    return log.with_name(log.name + ending)


def append_durably(path: Path, lines: Sequence[bytes]) -> None:
    """The lines stand at the end of a side file, on the disk, each on a line of its own.

    Raises:
        OSError: the disk is full or failing.
    """
    fd = open_durably(path)
    try:
        torn = tail_of(fd, os.fstat(fd).st_size)
        write_all(fd, b"\n" * bool(torn) + b"".join(line + b"\n" for line in lines))
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, lines: bytes) -> None:
    """All of it, in one write unless the disk runs full (the rest then fails with the reason)."""
    rest = memoryview(lines)
    while rest:
        rest = rest[os.write(fd, rest) :]


def open_durably(path: Path) -> int:
    """The file, open for appending; made, with its name durable, if it was not there."""
    try:
        new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if new:
            fsync_folder(path.parent)
    except OSError as error:
        raise LogError(f"{path}: can't be opened for writing: {error.strerror}") from None
    return fd


def fsync_folder(folder: Path) -> None:
    """The names in the folder are on the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def tail_of(fd: int, size: int) -> bytes:
    """What stands after the last newline."""
    tail, end = b"", size
    while end > 0:
        start = max(0, end - _CHUNK)
        chunk = os.pread(fd, end - start, start)
        newline = chunk.rfind(b"\n")
        if newline >= 0:
            return chunk[newline + 1 :] + tail
        tail, end = chunk + tail, start
    return tail


def lock_log(path: Path) -> int:
    """A descriptor that holds the lock until it is closed; `LOG.lock` names the holder.

    The lock stands on a file of its own, which is never removed: removing it would let two
    collectors each lock a file of that name.
    """
    lock_path = _beside(path, ".lock")
    fd = open_durably(lock_path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.write(fd, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    except BlockingIOError:
        holder = os.pread(fd, 200, 0).decode(errors="replace").strip() or "another process"
        os.close(fd)
        raise LogError(
            f"{path}: {holder} is writing this log, and one log has one collector; "
            "let that one go on, or stop it first"
        ) from None
    except OSError as error:
        os.close(fd)
        raise LogError(f"{lock_path}: can't be locked: {error.strerror}") from None
    return fd
