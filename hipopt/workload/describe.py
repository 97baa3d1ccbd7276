"""Why a workload that was found looks as it does, in a sentence for a person."""

from __future__ import annotations

from hipopt.workload.plan import Plan
from hipopt.workload.sizes import Size
from hipopt.workload.trace import Sight

_SIZES = {
    "odd": "no extent is a multiple of the block",
    "aligned": "every extent is a multiple of the block",
    "large": "large enough to be timed",
}
_ROLES = {
    "X": "the threads along x", "Y": "the threads along y", "Z": "the threads along z",
    "S": "the threads along x and y", "XY": "all threads", "XYZ": "all threads",
    "GX": "the blocks along x", "GY": "the blocks along y", "GZ": "the blocks along z",
    "BX": "the block's threads", "K": "an inner loop", "R": "a row's length", "pair": "x and y",
}  # fmt: skip


def describe(plan: Plan, size: Size, sight: Sight) -> str:
    """Size, what each integer stands for, where the block comes from, and how busy it is."""
    parts = [_SIZES[size.name]]
    meant = [f"'{n}' counts {_ROLES[r]}" for n, r in plan.roles.items() if r in _ROLES]
    factors = [f"'{n}'" for n, r in plan.roles.items() if r[0] == "F"]
    if factors:
        meant.append(f"{', '.join(factors)} multiply to the threads")
    parts += meant
    parts.append("grid and block as the file's host code has them" if plan.grid == "host"
                 else f"block {plan.block} and the grid that covers the extents")  # fmt: skip
    parts.append("buffers as long as was reached")
    if sight.workload.lds_bytes:
        parts.append(f"{sight.workload.lds_bytes} bytes of dynamic LDS")
    parts.append(f"{sight.busy} of {sight.threads} threads leave something behind")
    return "; ".join(parts)
