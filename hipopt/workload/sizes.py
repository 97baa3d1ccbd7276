"""The extents that a launch is tried with, and what a scalar may stand for among them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

Dim3 = tuple[int, int, int]
SizeName: TypeAlias = Literal["odd", "aligned", "large"]

_ODD_FACTORS = (5, 7, 9, 11, 3)
_ALIGNED_FACTORS = (8, 16, 8, 4, 2)
FACTORS = len(_ODD_FACTORS)


class Size(NamedTuple):
    """How large a launch is, before a plan says which scalar is which extent."""

    name: SizeName
    """`odd`: no extent is a multiple of the block; `aligned`: all are; `large`: for timing."""
    threads: Dim3
    """Threads along each axis that spans elements."""
    blocks: Dim3
    """Blocks along each axis where a block stands for a row, or a batch entry."""
    inner: int
    """Length of an inner loop."""
    row: int
    """Length of a row that a block walks over."""
    factors: tuple[int, ...]
    """Extents whose product a linear index spans."""


def odd_size(block: Dim3, axes: int) -> Size:
    """Small, and no extent a multiple of the block or the wave."""
    x, y, z = block
    if axes == 1:
        threads = (_odd(3 * x + x // 2 + 29), _odd(2 * y + y // 2 + 3), _odd(2 * z + 1))
    else:
        threads = (_odd(3 * x + x // 2 + 5), _odd(2 * y + y // 2 + 3), _odd(z + z // 2 + 1))
    row = _odd(math.prod(block) + math.prod(block) // 4)
    return Size("odd", threads, (7, 3, 2), 37, row, _ODD_FACTORS)


def aligned_size(block: Dim3, axes: int) -> Size:
    """Small, and every extent a multiple of the block and of a power of two."""
    x, y, z = block
    threads = (4 * x, 2 * y, 2 * z) if axes == 1 else (_over(128, x), _over(64, y), _over(8, z))
    row = 2 * max(64, math.prod(block))
    return Size("aligned", threads, (8, 4, 2), 64, row, _ALIGNED_FACTORS)


def large_size(small: Size, scale: float, block: Dim3, axes: int) -> Size:
    """About `scale` times the work of `small`, every extent a multiple of the block."""
    base = aligned_size(block, axes)
    scale = max(1.0, scale)
    side = scale ** (1 / min(max(axes, 1), 2))
    x, y, z = base.threads
    threads = (
        _over(int(x * side), block[0]), _over(int(y * (side if axes > 1 else 1)), block[1]), z
    )  # fmt: skip
    many = 1 << max(0, round(math.log2(scale)))
    factors = (base.factors[0] * many, *base.factors[1:])
    blocks = (min(1024, int(base.blocks[0] * scale)), *base.blocks[1:])
    return Size("large", threads, blocks, max(small.inner, 64), base.row, factors)


def _over(wanted: int, block: int) -> int:
    return max(1, -(-wanted // block)) * block


def _odd(value: int) -> int:
    return value | 1


def grid_for(size: Size, block: Dim3, indices: set[str], extents: Dim3, *, by_row: bool) -> Dim3:
    """Blocks that cover `extents` where threads span them, or as many rows as the size has."""
    sides = []
    for at, axis in enumerate("xyz"):
        if f"b{axis}" not in indices:
            sides.append(1)
        elif f"t{axis}" not in indices or (by_row and axis == "x"):
            sides.append(size.blocks[at])
        else:
            sides.append(max(1, -(-extents[at] // block[at])))
    x, y, z = sides
    return x, y, z


def extents_for(size: Size, roles: Sequence[str]) -> Dim3:
    """Threads along each axis, so that the scalars with these roles hold together."""
    x, y, z = size.threads
    factors = [size.factors[int(r[1:])] for r in roles if r[0] == "F" and r[1:].isdigit()]
    if factors:
        x = math.prod(factors)
    if "S" in roles:
        y = x
    return x, y, z


def value_of(role: str, size: Size, extents: Dim3, grid: Dim3, block: Dim3) -> int:
    """The number that a scalar with this role takes."""
    if role[0] == "=":
        return int(role[1:])
    if role[0] == "F":
        return size.factors[int(role[1:])]
    x, y, z = extents
    named: Mapping[str, int] = {
        "X": x, "Y": y, "Z": z, "S": x, "XY": x * y, "XYZ": x * y * z, "GX": grid[0],
        "GY": grid[1], "GZ": grid[2], "BX": block[0], "BY": block[1], "K": size.inner,
        "R": size.row, "TX": grid[0] * block[0], "TY": grid[1] * block[1],
        "pair": x | y << 32,
    }  # fmt: skip
    return named[role]
