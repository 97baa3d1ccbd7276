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


def place(arrays: Sequence[NDArray[Any]], base: int, room_bytes: int = 0) -> list[Placement]:
    """A place for each array, guards between them; the same for the same sizes and base.

    Each mapping has at least `room_bytes` before and behind its buffer.
    """
    room = _round_up(room_bytes, PAGE_BYTES)
    placed = []
    address, offset = base + GUARD_BYTES, 0
    for array in arrays:
        whole = _round_up(max(array.nbytes, 1), PAGE_BYTES)
        start = address + room + whole - _round_up(array.nbytes, ALIGNMENT)
        pages = whole + 2 * room
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

    With room, what is written beside a buffer is no damage and lost; it begins as zeros. `close`
    frees the memory on this side.

    Args:
        arrays: the buffers' content.
        base: where the area begins in the child.
        room_bytes: of memory before and behind every buffer; 0: as little as pages allow.
        report_bytes: of memory beside the buffers, for what the child reports.
    """

    def __init__(
        self,
        arrays: Sequence[NDArray[Any]],
        base: int,
        room_bytes: int = 0,
        report_bytes: int = 0,
    ) -> None:
        self._room_bytes = room_bytes
        self._pristine = [np.array(a, order="C", copy=True) for a in arrays]
        self.placements = place(self._pristine, base, room_bytes)
        mapped = sum(p.mapping.bytes for p in self.placements)
        self.report = Mapping(base, _round_up(report_bytes, PAGE_BYTES), mapped)
        self._bytes = max(PAGE_BYTES, mapped + self.report.bytes)
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

    @property
    def mappings(self) -> list[Mapping]:
        """What the child is to map."""
        reports = [self.report] if self.report.bytes else []
        return [*(p.mapping for p in self.placements), *reports]

    def restore(self) -> None:
        """Every buffer holds what was loaded; the room beside it holds zeros."""
        if self._room_bytes:
            for _, start, size in (p.mapping for p in self.placements):
                self._map.madvise(mmap.MADV_REMOVE, start, size)
        for placement, array in zip(self.placements, self._pristine, strict=True):
            self._view(placement)[:] = array.reshape(-1).view(np.uint8)

    def read(self) -> list[NDArray[Any]]:
        """Copies of all buffers."""
        return [
            self._view(placement).copy().view(array.dtype).reshape(array.shape)
            for placement, array in zip(self.placements, self._pristine, strict=True)
        ]

    def read_report(self) -> bytes:
        """What the child wrote into the memory for its report."""
        return self._map[self.report.offset : self.report.offset + self.report.bytes]

    def clear_report(self) -> None:
        """The memory for the child's report holds zeros."""
        self._memory[self.report.offset : self.report.offset + self.report.bytes] = 0

    def damage(self) -> tuple[int, int] | None:
        """The first buffer whose surroundings were written: its index, and the offset in bytes.

        Negative: before its start. Otherwise: behind its end. None where there is room.
        """
        if self._room_bytes:
            return None
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
        canaries: list[NDArray[np.uint8]] = []
        if self._room_bytes:
            return canaries
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
