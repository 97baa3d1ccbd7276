"""A launch's buffers: shared with the child, walled in, and watched.

Guarantee: a write within 8 GiB of a buffer that is outside it either faults at once or is found by
`damage` afterwards. Each buffer ends within 16 bytes of its last page's end; what is left of the
first and last page carries random bytes that only this side knows, and around lie unmapped pages.
A read outside a buffer faults, or sees those random bytes. Not covered: writes that restore the
random bytes, and strides beyond 8 GiB that hit another buffer.
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

from hipopt.device.cpu.protocol import Mapping

PAGE_BYTES = 4096
GUARD_BYTES = 8 << 30
BASE_ADDRESS = 0x2000_0000_0000
_BASES = 1 << 31  # pages: 8 TiB
ALIGNMENT = 16
"""Of a buffer's start, bytes: what the widest vector load needs."""


class Placement(NamedTuple):
    """Where one buffer lies in the child and in the shared memory."""

    address: int
    """Of the first element, in the child."""
    nbytes: int
    itemsize: int
    dtype: str
    mapping: Mapping

    @property
    def start(self) -> int:
        """Offset of the first element in the shared memory."""
        return self.mapping.offset + self.address - self.mapping.address

    @property
    def end(self) -> int:
        """Address behind the last element, in the child."""
        return self.address + self.nbytes


def random_base() -> int:
    """Where an area may begin: drawn afresh, so that no kernel knows an address from before."""
    return BASE_ADDRESS + secrets.randbelow(_BASES) * PAGE_BYTES


def place(arrays: Sequence[NDArray[Any]], base: int) -> list[Placement]:
    """A place for each array, guards between them; the same for the same sizes and base."""
    placed = []
    address, offset = base + GUARD_BYTES, 0
    for array in arrays:
        pages = _round_up(max(array.nbytes, 1), PAGE_BYTES)
        start = address + pages - _round_up(array.nbytes, ALIGNMENT)
        mapping = Mapping(address, pages, offset)
        name = array.dtype.name
        placed.append(Placement(start, array.nbytes, array.dtype.itemsize, name, mapping))
        address += pages + GUARD_BYTES
        offset += pages
    return placed


def area(placements: Sequence[Placement], base: int) -> tuple[int, int]:
    """Address and bytes of all buffers with all guards."""
    mapped = sum(p.mapping.bytes for p in placements)
    return base, mapped + GUARD_BYTES * (len(placements) + 1)


class SharedBuffers:
    """The memory of one loaded launch, with the content that every launch starts from.

    Use as a context manager: `close` frees the memory on this side.
    """

    def __init__(self, arrays: Sequence[NDArray[Any]], base: int) -> None:
        self._pristine = [np.array(a, order="C", copy=True) for a in arrays]
        self.placements = place(self._pristine, base)
        self._bytes = max(PAGE_BYTES, sum(p.mapping.bytes for p in self.placements))
        self.fd = _sealed_memory(self._bytes)
        try:
            self._map = mmap.mmap(self.fd, self._bytes)
        except BaseException:
            os.close(self.fd)
            raise
        self._memory = np.frombuffer(self._map, dtype=np.uint8)
        self._canaries = self._fill_slack()

    def close(self) -> None:
        """Frees the memory on this side."""
        os.close(self.fd)
        del self._memory
        self._map.close()

    def restore(self) -> None:
        """Every buffer holds what was loaded."""
        for placement, array in zip(self.placements, self._pristine, strict=True):
            self._view(placement)[:] = array.reshape(-1).view(np.uint8)

    def read(self) -> list[NDArray[Any]]:
        """Copies of all buffers."""
        return [
            self._view(placement).copy().view(array.dtype).reshape(array.shape)
            for placement, array in zip(self.placements, self._pristine, strict=True)
        ]

    def damage(self) -> tuple[int, int] | None:
        """The first buffer whose surroundings were written: its index, and the offset in bytes.

        Negative: before its start. Otherwise: behind its end.
        """
        for index, (placement, canary) in enumerate(
            zip(self.placements, self._canaries, strict=True)
        ):
            before, behind = self._slack(placement)
            left = canary[: before.size]
            wrong = np.flatnonzero(before != left)
            if wrong.size:
                return index, int(wrong[-1]) - before.size
            wrong = np.flatnonzero(behind != canary[before.size :])
            if wrong.size:
                return index, int(wrong[0])
        return None

    def _view(self, placement: Placement) -> NDArray[np.uint8]:
        return self._memory[placement.start : placement.start + placement.nbytes]

    def _slack(self, placement: Placement) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The bytes of the buffer's pages before it and behind it."""
        first = placement.mapping.offset
        return (
            self._memory[first : placement.start],
            self._memory[placement.start + placement.nbytes : first + placement.mapping.bytes],
        )

    def _fill_slack(self) -> list[NDArray[np.uint8]]:
        canaries = []
        for placement in self.placements:
            before, behind = self._slack(placement)
            canary = np.frombuffer(os.urandom(before.size + behind.size), dtype=np.uint8)
            before[:], behind[:] = canary[: before.size], canary[before.size :]
            canaries.append(canary)
        return canaries


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def _sealed_memory(size: int) -> int:
    """A memory file that nobody can shrink under our feet or blow up."""
    fd = os.memfd_create("hipopt", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        os.close(fd)
        raise
    return fd
