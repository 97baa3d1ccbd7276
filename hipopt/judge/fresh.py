"""Code objects in memory of their own: which pages hold a program makes it faster or slower.

A file's pages stay where they once were read, for all processes that run it. Where they happen to
collide in the caches, every launch of that very file is slower, by up to 12 % as measured on the
CPU device, and no number of fresh processes shows it. A copy lies elsewhere.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from hipopt.device.interface import CodeObject


@contextmanager
def fresh_copies(codes: tuple[CodeObject, ...]) -> Iterator[tuple[CodeObject, ...]]:
    """The code objects in files of their own, which are gone afterwards."""
    beside = codes[0].path.parent  # where programs may be run, which not every place allows
    with tempfile.TemporaryDirectory(dir=beside, prefix="timing-") as directory:
        copies = []
        for number, code in enumerate(codes):
            copy = Path(directory) / f"{number}-{code.path.name}"
            shutil.copy(code.path, copy)
            copies.append(msgspec.structs.replace(code, path=copy))
        yield tuple(copies)
