"""Which AMD GPUs this machine has, as its kernel driver lists them; no program is run."""

from __future__ import annotations

import re
from pathlib import Path

TOPOLOGY = Path("/sys/class/kfd/kfd/topology/nodes")


def native_archs(topology: Path = TOPOLOGY) -> tuple[str, ...]:
    """The arch of every GPU in the driver's order, e.g. `gfx942`; empty where there is none."""
    nodes = sorted(topology.glob("[0-9]*"), key=lambda node: int(node.name))
    return tuple(arch for node in nodes if (arch := _arch(node / "properties")) is not None)


def _arch(properties: Path) -> str | None:
    """None of a node that is a CPU, or can't be read."""
    try:
        text = properties.read_text()
    except OSError:
        return None
    found = re.search(r"^gfx_target_version (\d+)$", text, re.MULTILINE)
    version = int(found[1]) if found else 0
    if version == 0:
        return None
    major, minor, stepping = version // 10000, version // 100 % 100, version % 100
    return f"gfx{major}{minor:x}{stepping:x}"
