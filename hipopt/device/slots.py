"""Slots: how many processes of a node may use a device at once.

A slot is an flock on a file, so the kernel gives it back when its holder dies, however it dies.
It holds within one node; processes agree by naming the same directory and count.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

POLL_S = 0.01
"""How long a slot that falls free may stay unused: little beside any launch's check."""


@contextmanager
def hold_slot(directory: Path, count: int) -> Iterator[int]:
    """One of `count` slots, held alone while the context lasts; its number from 0.

    Takes any free slot; where all are held, looks again every `POLL_S`. Blocking on one of them
    would wait behind a long holder while another slot falls free.

    Raises:
        ValueError: `count` is below 1.
        OSError: the directory can't be made or written.
    """
    if count < 1:
        raise ValueError(f"count is {count}, expected 1 or more")
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        files = [stack.enter_context((directory / f"slot-{n}").open("ab")) for n in range(count)]
        while (taken := next((n for n, file in enumerate(files) if _try(file)), None)) is None:
            time.sleep(POLL_S)
        yield taken


def _try(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
