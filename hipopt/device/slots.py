"""Slots: a node's units of a device (GPUs, or cores), each used by one process at a time.

A slot is an flock on a file named for its unit, so that the kernel gives it back when its holder
dies, however it dies, and processes that may use different units agree on which is which. It holds
within one node, for processes that name the same directory.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

POLL_S = 0.01
"""How long a slot that falls free may stay unused: little beside any launch's check."""


def shared_directory(slots_dir: Path | None) -> Path:
    """Where this node's processes agree on slots: as named, else this user's temporary folder."""
    if slots_dir is not None:
        return slots_dir.expanduser().resolve()
    return Path(tempfile.gettempdir()) / f"hipopt-slots-{os.getuid()}"


@contextmanager
def hold_slot(
    directory: Path, units: Collection[int], otherwise: int | None = None
) -> Iterator[int]:
    """One of the units, held alone while the context lasts; its number.

    Takes any that is free; where none is, looks again every `POLL_S`. Blocking on one of them would
    wait behind a long holder while another falls free.

    Args:
        directory: of the device's slots; made where it is missing.
        units: the numbers of those that will do.
        otherwise: a unit that the caller has by other means; it is given, and nothing waited for,
            where no other is free.

    Raises:
        ValueError: there are no units.
        OSError: the directory can't be made or written.
    """
    if not units:
        raise ValueError("no units to hold one of")
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        files = {n: stack.enter_context((directory / f"unit-{n}").open("ab")) for n in units}
        while (taken := next((n for n in files if _try(files[n])), otherwise)) is None:
            time.sleep(POLL_S)
        yield taken


def _try(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
