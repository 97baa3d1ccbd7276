"""One GPU of this node, and a code object made for such GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from hipopt.device.interface import CodeObject
from hipopt.records import Record

GpuKind = Literal["amd", "nvidia"]

_PINNED_BY = {"amd": "ROCR_VISIBLE_DEVICES", "nvidia": "CUDA_VISIBLE_DEVICES"}

_LAST_LEVEL_MIB = {
    "gfx90a": 16, "gfx942": 256, "gfx950": 256, "gfx1100": 96, "gfx1101": 64, "gfx1102": 32,
    "gfx1200": 32, "gfx1201": 64, "sm_80": 40, "sm_90": 60, "sm_100": 126,
}  # fmt: skip
"""The cache farthest from the cores of the largest model of an arch, as its vendor's papers on the
architecture give it: L2, or Infinity Cache where there is one."""
_LARGEST_MIB = 256

_PEAK_GB_S = {
    "gfx90a": 6_900.0, "gfx942": 17_200.0, "gfx950": 17_200.0, "gfx1100": 5_300.0,
    "sm_90": 12_000.0,
}  # fmt: skip
"""Of that same cache, where writes may end without reaching memory; beyond what was ever measured.
Where it isn't known there is no floor for times."""


class Gpu(Record, frozen=True, kw_only=True):
    """A GPU as the worker found it."""

    kind: GpuKind
    library: Path
    """Of the runtime: libamdhip64.so, libcuda.so.1."""
    token: str
    """What names it to the variable that pins a process to it: an index, or a GPU's own id."""
    unit: int
    """Of its slot: the same number in all processes of the node, from its place on the bus."""
    name: str
    arch: str
    memory_bytes: int
    wave_size: int
    compute_units: int
    lds_bytes: int
    """That a block can have."""
    bus_id: str
    """E.g. `0000:c1:00.0`."""

    @property
    def flush_bytes(self) -> int:
        """Written to get all caches cold: twice the last-level cache."""
        return 2 * _LAST_LEVEL_MIB.get(self.arch, _LARGEST_MIB) << 20

    @property
    def peak_bandwidth_gb_s(self) -> float | None:
        """See `DeviceDescription`; None: not known."""
        return _PEAK_GB_S.get(self.arch)

    def pin(self) -> dict[str, str]:
        """What a child's environment needs to see this GPU and no other."""
        return {_PINNED_BY[self.kind]: self.token}

    def __str__(self) -> str:
        return f"GPU {self.token} ({self.name}, {self.arch}, at {self.bus_id})"


class ArgumentSlot(Record, frozen=True, kw_only=True):
    """Where the compiled kernel reads one argument."""

    offset: int
    """Bytes from the start of the block of arguments."""
    size: int


class GpuCode(CodeObject, frozen=True, kw_only=True):
    """A code object that a GPU's runtime loads."""

    kernel: str
    """The kernel's symbol, mangled."""
    layout: tuple[ArgumentSlot, ...]
    """One for each of `parameters`; what the runtime itself adds is not among them."""
    keeps_state: bool = True
    """Whether it may have variables that outlive a launch: it is then loaded anew for each."""


class Tools(Record, frozen=True, kw_only=True):
    """Our own kernels, compiled for a GPU's arch."""

    known_good: GpuCode
    scrub: GpuCode
