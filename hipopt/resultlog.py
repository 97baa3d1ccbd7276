"""The result log as its only writer sees it: restore, append, recover.

Guarantee: when `append` returns, its rows are on the disk, whole, each kernel once; when it
raises, none of them is in the file. A crash at any byte costs at most the rows that were not
acknowledged, which the broker delivers again. Nobody else writes while a `ResultLog` is open.
Price: one fsync per `append` (0.4 ms on the disk measured), so append in batches; the ids of all
finished kernels are held in memory.
Scope: one machine's file system. `flock` guards against a second collector, not against an editor.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from hipopt.errors import LogError
from hipopt.logline import decode_line
from hipopt.logreader import LogReader
from hipopt.records import KernelId

_CHUNK = 1 << 16


class ResultLog:
    """An open, locked, recovered log. Use as a context manager, or call `close`.

    Raises:
        LogError: another collector holds it, a line in the middle is corrupt (unless `skip_bad`),
            or the file can't be read or written.
    """

    def __init__(self, path: Path, *, skip_bad: bool = False) -> None:
        self.path = path.resolve()
        self.notices: list[str] = []
        """What recovery found and did, for a person to read; empty after a clean stop."""
        self.duplicates = 0
        """Rows dropped by `append` because their kernel was finished already."""
        self._failed = False
        self._lock = _lock(self.path)
        try:
            self._fd = _open(self.path)
            self._recover()
            reader = LogReader(self.path, skip_bad=skip_bad)
            reader.poll()
        except BaseException:
            self.close()
            raise
        self._done: set[KernelId] = set(reader.rows)
        if reader.bad_lines:
            self.notices.append(f"{self.path}: skipped {reader.bad_lines} lines that are no rows")

    _fd = -1

    def __enter__(self) -> ResultLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._done)

    def __contains__(self, kernel_id: KernelId) -> bool:
        return kernel_id in self._done

    def close(self) -> None:
        """Closed and unlocked. May be called twice."""
        for fd in (self._fd, self._lock):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock = -1

    def append(self, rows: Iterable[tuple[KernelId, bytes]]) -> list[KernelId]:
        """The rows are durable, except those whose kernel has one; returns the ids written.

        Args:
            rows: pairs of a kernel's id and its row, one line of JSON without the newline.

        Raises:
            LogError: the disk is full or failing, or the file was moved away. None of the rows is
                in the log, none may be acknowledged, and this object takes no more.
        """
        fresh: dict[KernelId, bytes] = {}
        for kernel_id, line in rows:
            if kernel_id in self._done or kernel_id in fresh:
                self.duplicates += 1
            else:
                fresh[kernel_id] = line
        if fresh:
            self._write(b"".join(line + b"\n" for line in fresh.values()))
            self._done.update(fresh)
        return list(fresh)

    def _write(self, lines: bytes) -> None:
        if self._failed or self._fd < 0:
            raise LogError(f"{self.path}: an earlier write failed; restart the collector")
        self._failed = True
        before = self._still_ours()
        try:
            _write_all(self._fd, lines)
            os.fsync(self._fd)
        except OSError as error:
            self._undo(before)
            raise LogError(
                f"{self.path}: can't be written: {error.strerror}. Nothing is lost: results wait "
                "at the broker. Make room (or mend the disk) and start the collector again"
            ) from None
        self._failed = False

    def _still_ours(self) -> int:
        """The size of the log, which must still stand under its name."""
        ours = os.fstat(self._fd)
        try:
            same = os.path.samestat(ours, self.path.stat())
        except OSError:
            same = False
        if not same:
            raise LogError(
                f"{self.path}: was moved, replaced or deleted while the collector had it open; "
                "put it back and start the collector again"
            )
        return ours.st_size

    def _undo(self, size: int) -> None:
        """Cut off what a failed write left.

        Also after a failed fsync: the kernel may have forgotten that those pages are dirty, so
        rows that can be read need not be on the disk, and must not count as done.
        """
        with suppress(OSError):  # then the next start cuts a torn tail
            os.ftruncate(self._fd, size)
            os.fsync(self._fd)

    def _recover(self) -> None:
        """The log ends with a newline: a torn tail is set aside, a whole one is completed."""
        size = os.fstat(self._fd).st_size
        tail = _tail(self._fd, size)
        if not tail:
            return
        try:
            if _is_row(tail):
                _write_all(self._fd, b"\n")
                self.notices.append(f"{self.path}: the last line lacked its newline; added")
            else:
                self._set_aside(tail, size)
            os.fsync(self._fd)
        except OSError as error:
            raise LogError(f"{self.path}: torn last line not mended: {error.strerror}") from None

    def _set_aside(self, tail: bytes, size: int) -> None:
        aside = self.path.with_name(self.path.name + ".torn")
        append_durably(aside, [tail])
        os.ftruncate(self._fd, size - len(tail))
        self.notices.append(
            f"{self.path}: the last line was torn ({len(tail)} bytes at byte {size - len(tail)}): "
            f"copied to {aside} and cut off. Its kernel will be delivered or dispatched again"
        )


def append_durably(path: Path, lines: Sequence[bytes]) -> None:
    """The lines stand at the end of a side file, on the disk.

    Raises:
        OSError: the disk is full or failing.
    """
    fd = _open(path)
    try:
        _write_all(fd, b"".join(line + b"\n" for line in lines))
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, lines: bytes) -> None:
    """All of it, in one write unless the disk runs full (the rest then fails with the reason)."""
    rest = memoryview(lines)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _open(path: Path) -> int:
    """The file, open for appending; made, with its name durable, if it was not there."""
    try:
        new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if new:
            _fsync_folder(path.parent)
    except OSError as error:
        raise LogError(f"{path}: can't be opened for writing: {error.strerror}") from None
    return fd


def _fsync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _tail(fd: int, size: int) -> bytes:
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


def _is_row(tail: bytes) -> bool:
    try:
        decode_line(tail)
    except ValueError:
        return False
    return True


def _lock(path: Path) -> int:
    """A descriptor that holds the lock until it is closed; `LOG.lock` names the holder.

    The lock stands on a file of its own, which is never removed: removing it would let two
    collectors each lock a file of that name.
    """
    lock_path = path.with_name(path.name + ".lock")
    fd = _open(lock_path)
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
