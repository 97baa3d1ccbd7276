"""One launch's memory on the device: its buffers between red zones, all in one stretch.

Guarantee: a write to a red zone is found by `damage` afterwards. Zones lie on both sides of every
buffer, begin at its very ends, and hold random bytes that only this process knows. The content that
every launch starts from lies in memory that the child can't write to, so nothing that runs there
can change it for later launches. Not covered: writes that restore the random bytes, strides that
jump a zone into another buffer, and reads. (Reads are the microscope's.)
"""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 256
"""Of a buffer's start, bytes: what the vendors' own allocators give."""
ZONE_BYTES = 64 << 10
"""The least red zone: more than a block's threads reach that overrun by one element each."""
MOST_ZONE_BYTES = 4 << 20
"""Between those, a zone is as large as an eighth of its buffer: a row too far, a block too many."""
PIECE_BYTES = 2 << 20
"""What allocators hand out at the least: what is behind the last zone would be nobody's."""
_SHIFTS = 4096
"""Places at which the first buffer may begin, `ALIGNMENT` apart."""
_F_SEAL_FUTURE_WRITE = 0x10  # linux/fcntl.h; the fcntl module names it from Python 3.14 on


class Placement(NamedTuple):
    """Where one buffer lies, bytes from the stretch's start."""

    offset: int
    nbytes: int

    @property
    def end(self) -> int:
        """Behind the last byte."""
        return self.offset + self.nbytes


class Damage(NamedTuple):
    """A red zone that was written to."""

    buffer: int
    """Index of the nearest buffer."""
    offset: int
    """Negative: bytes before its start. Otherwise: bytes behind its end."""


def random_shift() -> int:
    """Bytes from the stretch's start to the first zone: no kernel knows where buffers lie."""
    return secrets.randbelow(_SHIFTS) * ALIGNMENT


def zone_bytes(nbytes: int) -> int:
    """Of the red zone beside a buffer of that size."""
    return min(max(ZONE_BYTES, _round_up(nbytes // 8)), MOST_ZONE_BYTES)


def place(sizes: Sequence[int], shift: int) -> tuple[list[Placement], int]:
    """Places for buffers of those sizes, and the bytes of the whole stretch.

    The stretch is as long whatever the shift, so that one allocation holds them all.
    """
    placed = []
    at = shift
    for nbytes in sizes:
        start = at + zone_bytes(nbytes)
        placed.append(Placement(start, nbytes))
        at = _round_up(start + nbytes + zone_bytes(nbytes))
    whole = at - shift + _SHIFTS * ALIGNMENT
    return placed, -(-whole // PIECE_BYTES) * PIECE_BYTES


class Arena:
    """The content of one stretch before and after a launch. `close` frees it.

    Args:
        arrays: the buffers' content.
        shift: see `random_shift`.
    """

    def __init__(self, arrays: Sequence[NDArray[Any]], shift: int) -> None:
        self._arrays = [(a.dtype, a.shape) for a in arrays]
        self.placements, self.nbytes = place([a.nbytes for a in arrays], shift)
        self.before_fd, self._before_map = _shared(self.nbytes, read_only=True)
        self.after_fd, self._after_map = _shared(self.nbytes, read_only=False)
        self._before = np.frombuffer(self._before_map, np.uint8)
        self._after = np.frombuffer(self._after_map, np.uint8)
        for start, end in self._zones():
            self._before[start:end] = np.frombuffer(os.urandom(end - start), np.uint8)
        for placement, array in zip(self.placements, arrays, strict=True):
            flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            self._before[placement.offset : placement.end] = flat

    def close(self) -> None:
        """The memory is free on this side."""
        del self._before, self._after
        self._before_map.close()
        self._after_map.close()
        os.close(self.before_fd)
        os.close(self.after_fd)

    def read(self) -> list[NDArray[Any]]:
        """Copies of all buffers as the child last copied them back."""
        return [
            self._after[place.offset : place.end].copy().view(dtype).reshape(shape)
            for place, (dtype, shape) in zip(self.placements, self._arrays, strict=True)
        ]

    def damage(self) -> Damage | None:
        """The first red zone that is not as it was; None: all are."""
        for start, end in self._zones():
            wrong = np.flatnonzero(self._before[start:end] != self._after[start:end])
            if wrong.size:
                return self._nearest(start + int(wrong[0]), start + int(wrong[-1]))
        return None

    def _zones(self) -> list[tuple[int, int]]:
        """All that is no buffer, from the stretch's start to its end."""
        ends = [0, *(p.end for p in self.placements)]
        starts = [*(p.offset for p in self.placements), self.nbytes]
        return [zone for zone in zip(ends, starts, strict=True) if zone[0] < zone[1]]

    def _nearest(self, first: int, last: int) -> Damage:
        """The damage, told from the buffer that it is nearest to."""
        behind = [(first - p.end, n) for n, p in enumerate(self.placements) if p.end <= first]
        before = [(p.offset - last, n) for n, p in enumerate(self.placements) if p.offset > last]
        if behind and (not before or min(behind)[0] < min(before)[0]):
            distance, buffer = min(behind)
            return Damage(buffer, distance)
        distance, buffer = min(before, default=(first, 0))
        return Damage(buffer, -distance)


def _round_up(value: int) -> int:
    return -(-value // ALIGNMENT) * ALIGNMENT


def _shared(size: int, *, read_only: bool) -> tuple[int, mmap.mmap]:
    """A memory file of a fixed size, writable here, and by others only unless `read_only`."""
    fd = os.memfd_create("hipopt-gpu", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        mapped = mmap.mmap(fd, size)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
        if read_only:
            seals |= _F_SEAL_FUTURE_WRITE
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(fd)
        raise
    return fd, mapped
