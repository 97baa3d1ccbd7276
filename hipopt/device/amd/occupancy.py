"""How many waves of a kernel a SIMD can hold at once, and what stops more."""

from __future__ import annotations

from typing import Literal

from hipopt.device.amd.limits import Limits
from hipopt.records import Record

Limiter = Literal["waves", "vgprs", "sgprs", "lds", "blocks"]


class Demand(Record, frozen=True, kw_only=True):
    """What a launch takes of a compute unit."""

    wave_size: int
    vgprs: int
    """Of a lane, AGPRs included where they come out of the same registers."""
    sgprs: int
    """Of a wave."""
    lds_bytes: int
    """Of a block, static and dynamic."""
    threads: int
    """Of a block."""


class Occupancy(Record, frozen=True, kw_only=True):
    """How full a SIMD gets with one kernel."""

    waves_per_simd: int
    """0: not even one block fits."""
    limiter: Limiter
    """What runs out first; `waves`: nothing does, all slots are taken."""


def occupancy(limits: Limits, demand: Demand) -> Occupancy:
    """The waves that fit into each SIMD, by the scarcest resource.

    As the compiler counts: registers bound the waves of a SIMD, LDS and slots for blocks bound the
    blocks of a unit, whose waves are then spread evenly over its SIMDs.
    """
    waves = -(-demand.threads // demand.wave_size)
    bounds: dict[Limiter, int] = {
        "waves": limits.waves_per_simd,
        "vgprs": _by_vgprs(limits, demand),
        "sgprs": _by_sgprs(limits, demand.sgprs),
        "lds": _spread(limits, _blocks_by_lds(limits, demand.lds_bytes), waves),
        "blocks": _spread(limits, limits.blocks, waves) if waves > 1 else limits.waves_per_simd,
    }
    least = min(bounds, key=lambda name: bounds[name])  # among equals the first, `waves`
    return Occupancy(waves_per_simd=bounds[least], limiter=least)


def _by_vgprs(limits: Limits, demand: Demand) -> int:
    granule = limits.vgpr_granule[demand.wave_size]
    taken = -(-max(1, demand.vgprs) // granule) * granule
    return limits.vgprs[demand.wave_size] // taken


def _by_sgprs(limits: Limits, sgprs: int) -> int:
    if not limits.sgprs_for_waves:
        return limits.waves_per_simd
    return next((waves for most, waves in limits.sgprs_for_waves if sgprs <= most), 7)


def _blocks_by_lds(limits: Limits, lds_bytes: int) -> int | None:
    """None: LDS does not limit."""
    if lds_bytes == 0:
        return None
    if lds_bytes > limits.lds_block_bytes:
        return 0
    return limits.lds_bytes // (-(-lds_bytes // limits.lds_granule) * limits.lds_granule)


def _spread(limits: Limits, blocks: int | None, waves: int) -> int:
    """Waves on the SIMD that has most of them."""
    if blocks is None:
        return limits.waves_per_simd
    return -(-blocks * waves // limits.simds)
