"""Setting the damaged lines of a result log aside, so that it can be written on.

Guarantee: no byte is deleted. Damaged lines are on the disk in `LOG.damaged` before the log is
replaced, at once, by one that consists of all its whole rows, byte for byte and in order; a kill at
any moment leaves the one or the other. Whole rows on a damaged line are kept where they can be told
apart for sure. Kernels whose rows were lost count as not done. Price: room for a second copy of the
log. Scope: nobody may write the log meanwhile; its lock is held.
"""

from __future__ import annotations

import base64
import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from hipopt.errors import LogError
from hipopt.log.check import Line, read_lines
from hipopt.log.file import append_durably, damaged_path, fsync_folder, lock_log
from hipopt.log.line import is_row
from hipopt.log.rescue import rescue
from hipopt.records import Record


class Repair(Record, frozen=True, kw_only=True):
    """What a repair did."""

    log: str
    rewritten: bool
    """False: the log was sound, and is untouched."""
    kept: int = 0
    """Lines that stayed as they were, where the log was rewritten."""
    rescued: int = 0
    """Whole rows kept of damaged lines."""
    damaged: int = 0
    """Lines set aside, a torn last one included."""
    side_file: str | None = None
    """Where they are; None: there were none."""


class _Aside(msgspec.Struct, omit_defaults=True):
    """One line of `LOG.damaged`."""

    line: int
    offset: int
    length: int
    reason: str
    kept_rows: int
    set_aside_at: str
    text: str | None = None
    """The line; None: it is no UTF-8, see `base64`."""
    base64: str | None = None


def repair(path: Path) -> Repair:
    """The log is sound, and what was damaged stands in the side file.

    Raises:
        LogError: a collector has the log open, or the file can't be read or written. The log is
            as it was then.
    """
    path = path.resolve()
    if not path.is_file():
        raise LogError(f"{path}: there is no such log")
    lock = lock_log(path)
    fresh = path.with_name(f"{path.name}.repair.{os.getpid()}")
    try:
        return _repair(path, fresh)
    except OSError as error:
        raise LogError(
            f"{path}: can't be repaired: {error.strerror}; the log is as it was. A repair needs "
            "room for a second copy of it"
        ) from None
    finally:
        with suppress(OSError):
            fresh.unlink()
        os.close(lock)


def _repair(path: Path, fresh: Path) -> Repair:
    if all(line.whole for line in read_lines(path)):
        return Repair(log=str(path), rewritten=False)
    with fresh.open("wb") as file:
        found = _copy(path, file)
        file.flush()
        os.fsync(file.fileno())
    _as_owned(path, fresh)
    fresh.replace(path)
    fsync_folder(path.parent)
    return found


def _copy(path: Path, file: BinaryIO) -> Repair:
    """All whole rows are in the file, and all else is in the side file."""
    kept = rescued = damaged = 0
    aside = damaged_path(path)
    for line in read_lines(path):
        if line.whole or is_row(line.content):
            file.write(line.content if line.whole else line.content + b"\n")
            kept += 1
            continue
        rows = rescue(line.content.removesuffix(b"\n"))
        append_durably(aside, [_entry(line, len(rows))])
        file.writelines(row + b"\n" for row in rows)
        rescued += len(rows)
        damaged += 1
    return Repair(
        log=str(path),
        rewritten=True,
        kept=kept,
        rescued=rescued,
        damaged=damaged,
        side_file=str(aside) if damaged else None,
    )


def _entry(line: Line, kept_rows: int) -> bytes:
    content = line.content.removesuffix(b"\n")
    entry = _Aside(
        line=line.number,
        offset=line.offset,
        length=len(content),
        reason=line.reason or "the last line was torn",
        kept_rows=kept_rows,
        set_aside_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    try:
        entry.text = content.decode()
    except UnicodeDecodeError:
        entry.base64 = base64.b64encode(content).decode()
    return msgspec.json.encode(entry)


def _as_owned(path: Path, fresh: Path) -> None:
    """The new file is the old one's in mode and owner, as far as we may."""
    shutil.copymode(path, fresh)
    found = path.stat()
    with suppress(PermissionError):
        os.chown(fresh, found.st_uid, found.st_gid)
