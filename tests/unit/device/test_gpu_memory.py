"""Red zones: every write beside a buffer is found, and nothing else is."""

from __future__ import annotations

import mmap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipopt.device.gpu.memory import (
    ALIGNMENT,
    MOST_ZONE_BYTES,
    ZONE_BYTES,
    Arena,
    Damage,
    place,
    random_shift,
    zone_bytes,
)

BUFFERS = [np.arange(1001, dtype=np.float32), np.full((3, 7), 5, np.int16)]


def copied_back(arena: Arena) -> mmap.mmap:
    """The child's view of what it copies back, holding what was loaded."""
    view = mmap.mmap(arena.after_fd, arena.nbytes)
    with mmap.mmap(arena.before_fd, arena.nbytes, prot=mmap.PROT_READ) as before:
        view[:] = before[:]
    return view


@given(
    sizes=st.lists(st.integers(1, 100_000_000), max_size=6),
    shift=st.integers(0, 4095).map(lambda n: n * ALIGNMENT),
)
@settings(max_examples=200, deadline=None)
def test_places(sizes: list[int], shift: int) -> None:
    """Buffers are aligned, zones of their size lie on both sides, and the stretch holds all."""
    placed, total = place(sizes, shift)
    assert total == place(sizes, 0)[1]
    end = shift
    for place_, size in zip(placed, sizes, strict=True):
        assert place_.nbytes == size
        assert place_.offset % ALIGNMENT == 0
        assert place_.offset - end >= zone_bytes(size)
        end = place_.end + zone_bytes(size)
    assert end <= total


def test_zones_grow_with_their_buffers() -> None:
    """A zone is an eighth of its buffer, within bounds."""
    assert zone_bytes(1) == ZONE_BYTES
    assert zone_bytes(8 << 20) == 1 << 20
    assert zone_bytes(1 << 30) == MOST_ZONE_BYTES


def test_unharmed() -> None:
    """What comes back as it was is no damage, and buffers have their types and shapes."""
    arena = Arena(BUFFERS, random_shift())
    with copied_back(arena):
        assert arena.damage() is None
        for left, loaded in zip(arena.read(), BUFFERS, strict=True):
            assert left.dtype == loaded.dtype
            assert np.array_equal(left, loaded)
    arena.close()


@pytest.mark.parametrize(
    ("buffer", "offset"),
    [(0, 0), (0, -1), (0, 100), (0, -4096), (1, 0), (1, -1), (1, 60_000), (0, -ZONE_BYTES)],
)
def test_damage(buffer: int, offset: int) -> None:
    """One byte written beside a buffer is found, told from the nearest buffer's nearest end."""
    arena = Arena(BUFFERS, random_shift())
    place_ = arena.placements[buffer]
    with copied_back(arena) as view:
        at = (place_.end if offset >= 0 else place_.offset) + offset
        view[at] ^= 0x10
        assert arena.damage() == Damage(buffer, offset)
    arena.close()


def test_nobody_else_writes_what_launches_start_from() -> None:
    """A child that has the memory's descriptor can't map it so that it could write to it."""
    arena = Arena(BUFFERS, random_shift())
    with pytest.raises(PermissionError):
        mmap.mmap(arena.before_fd, arena.nbytes)
    arena.close()
