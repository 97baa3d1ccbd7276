"""How much memory must be gone through to leave a core's cache cold."""

from pathlib import Path

import pytest

from hipopt.device.cpu.caches import cache_bytes


def index(directory: Path, number: int, level: str, size: str) -> None:
    place = directory / f"index{number}"
    place.mkdir()
    (place / "level").write_text(f"{level}\n")
    (place / "size").write_text(f"{size}\n")


@pytest.mark.parametrize(("size", "size_bytes"), [("1024K", 1 << 20), ("3M", 3 << 20)])
def test_the_second_level_counts(tmp_path: Path, size: str, size_bytes: int) -> None:
    """Not the first, nor the one that all cores share."""
    index(tmp_path, 0, "1", "48K")
    index(tmp_path, 2, "2", size)
    index(tmp_path, 3, "3", "32768K")
    assert cache_bytes(tmp_path) == size_bytes


def test_where_the_system_is_silent_a_large_core_is_taken(tmp_path: Path) -> None:
    """No directory, and no second level in it."""
    assert cache_bytes(tmp_path / "none") == cache_bytes(tmp_path) == 2 << 20
