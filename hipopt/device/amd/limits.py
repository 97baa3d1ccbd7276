"""What one compute unit of each arch has to share among its waves.

Sources: the LLVM project's AMDGPU backend (`AMDGPUBaseInfo.cpp`: `getTotalNumVGPRs`,
`getVGPRAllocGranule`, `getOccupancyWithNumSGPRs`, `getMaxWavesPerEU`, `getMaxWorkGroupsPerCU`,
`getLdsDwGranularity`; `AMDGPU.td` and `GCNProcessors.td` for the features of a processor), its
`AMDGPUUsage` page, and AMD's instruction set guides for CDNA 2, 3, 4 and RDNA 3.
"""

from __future__ import annotations

from hipopt.errors import UsageError
from hipopt.records import Record


class Limits(Record, frozen=True, kw_only=True):
    """What waves share. On RDNA the unit is a work-group processor of two compute units."""

    arch: str
    simds: int
    """Of the unit that one block's waves are spread over."""
    waves_per_simd: int
    """Slots: no SIMD has more waves in flight."""
    vgprs: dict[int, int]
    """Registers of a lane in a SIMD, for all its waves, by the size of a wave."""
    vgpr_granule: dict[int, int]
    """Registers are given to a wave in multiples of this, by the size of a wave."""
    sgprs_for_waves: tuple[tuple[int, int], ...]
    """(most SGPRs, waves of a SIMD that they allow), fewest first; beyond the last one 7 fit.
    Empty: SGPRs do not limit."""
    lds_bytes: int
    """Of the unit."""
    lds_block_bytes: int
    """Most that one block can have."""
    lds_granule: int
    """LDS is given to a block in multiples of this."""
    blocks: int
    """Most blocks of more than one wave in the unit."""


_SGPRS_GFX9 = ((80, 10), (88, 9), (100, 8))

_CDNA_2 = Limits(
    arch="gfx90a",
    simds=4,
    waves_per_simd=8,
    vgprs={64: 512},
    vgpr_granule={64: 8},
    sgprs_for_waves=_SGPRS_GFX9,
    lds_bytes=64 << 10,
    lds_block_bytes=64 << 10,
    lds_granule=512,
    blocks=16,
)

_RDNA_3 = Limits(
    arch="gfx1100",
    simds=4,
    waves_per_simd=16,
    vgprs={32: 1536, 64: 768},
    vgpr_granule={32: 24, 64: 12},
    sgprs_for_waves=(),
    lds_bytes=128 << 10,
    lds_block_bytes=64 << 10,
    lds_granule=512,
    blocks=32,
)


def _cdna(arch: str, lds_bytes: int, lds_granule: int) -> Limits:
    return Limits(
        arch=arch,
        simds=_CDNA_2.simds,
        waves_per_simd=_CDNA_2.waves_per_simd,
        vgprs=_CDNA_2.vgprs,
        vgpr_granule=_CDNA_2.vgpr_granule,
        sgprs_for_waves=_CDNA_2.sgprs_for_waves,
        lds_bytes=lds_bytes,
        lds_block_bytes=lds_bytes,
        lds_granule=lds_granule,
        blocks=_CDNA_2.blocks,
    )


ARCHS = {
    limits.arch: limits
    for limits in (
        _CDNA_2, _cdna("gfx942", 64 << 10, 512), _cdna("gfx950", 160 << 10, 1280), _RDNA_3,
    )
}  # fmt: skip


def limits_of(arch: str) -> Limits:
    """The limits of an arch; features after a colon are ignored.

    Raises:
        UsageError: it is none that hipopt knows; lists those.
    """
    found = ARCHS.get(arch.partition(":")[0])
    if found is None:
        raise UsageError(f"arch '{arch}' is not one of {', '.join(ARCHS)}")
    return found
