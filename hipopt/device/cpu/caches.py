"""Cold caches: what a core still holds of the buffers is pushed out before a launch.

The child's core keeps nothing of a buffer that this process has just rewritten, unless both run
on the same core; then going through twice the size of its own cache leaves none of it there.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LINE_BYTES = 64
_USUAL_BYTES = 2 << 20
"""Second-level cache of a large core, where the system doesn't tell."""
_UNITS = {"K": 1 << 10, "M": 1 << 20}


def evict() -> None:
    """The caches of this core hold none of what was written before."""
    _ballast()[::LINE_BYTES] += 1


@cache
def _ballast() -> NDArray[np.uint8]:
    return np.zeros(2 * cache_bytes(Path("/sys/devices/system/cpu/cpu0/cache")), np.uint8)


def cache_bytes(directory: Path) -> int:
    """Size of the second-level cache as the system's `directory` of caches tells it."""
    for index in directory.glob("index*"):
        try:
            level, size = (index / "level").read_text(), (index / "size").read_text()
        except OSError:
            continue
        found = re.fullmatch(r"(\d+)([KM])", size.strip())
        if level.strip() == "2" and found:
            return int(found[1]) * _UNITS[found[2]]
    return _USUAL_BYTES
