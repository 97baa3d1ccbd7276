"""One GPU of this node, and a code object made for such GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from hipopt.device.interface import CodeObject
from hipopt.records import Record

GpuKind = Literal["amd", "nvidia"]

_PINNED_BY = {"amd": "ROCR_VISIBLE_DEVICES", "nvidia": "CUDA_VISIBLE_DEVICES"}

_LAST_LEVEL_MIB = {
    "gfx90a": 8, "gfx942": 256, "gfx950": 256, "gfx1100": 96, "gfx1101": 64, "gfx1102": 32,
    "gfx1200": 32, "gfx1201": 64, "sm_80": 40, "sm_90": 60, "sm_100": 126,
}  # fmt: skip
"""The cache farthest from the cores of the largest model of an arch: L2, or Infinity Cache where
there is one. Sources: the L3 and L2 columns of AMD's "GPU specifications" (ROCm documentation; a
die of a gfx90a is a GPU of its own), NVIDIA's papers on its A100, H100 and Blackwell GPUs."""
_LARGEST_MIB = 256

_PEAK_GB_S = {"gfx90a": 7_000.0, "gfx942": 17_300.0, "gfx950": 19_700.0}
"""What L2, where writes may end without reaching memory, can take in at the highest clock; no less
than what Infinity Cache can. Sources: AMD's white papers on CDNA 2 (32 channels of 128 bytes a
cycle, at 1.7 GHz: 6,963), CDNA 3 (8 dies of 16 channels that take 64 bytes a cycle each, at 2.1
GHz: 17,203; Infinity Cache: 17.2 TB/s) and CDNA 4 (the same channels at 2.4 GHz: 19,661). No paper
says it of other archs: there is no floor for their times."""


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
