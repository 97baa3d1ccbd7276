"""A launch at other values of its scalars, as far as given launches show what follows them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from hipopt.records import Argument, Buffer, Scalar, Workload

_MOST_FACTORS = 3
_FEWER = (1, 2, 4, 8)
"""Elements that one thread may handle."""
_ROUNDED_UP = tuple((fewer, False) for fewer in _FEWER)
_DIVISIONS = (_ROUNDED_UP[0], (1, True), *_ROUNDED_UP[1:])
"""How many elements a thread handles, and whether what is left over has no block; likeliest first.

One launch alone does not show the latter.
"""
_BLOCKS = 2
"""Blocks along an axis that follows no scalar, at most."""


class Product(NamedTuple):
    """A number that is some scalars' product by a divisor, rounded up, or down."""

    names: tuple[str, ...]
    factor: int
    divisor: int
    down: bool = False

    def of(self, values: Mapping[str, int]) -> int:
        """The number for these values of the scalars."""
        whole = math.prod(values[name] for name in self.names) * self.factor
        return max(1, whole // self.divisor if self.down else -(-whole // self.divisor))


def values_of(workload: Workload) -> dict[str, int]:
    """The integer scalars by name."""
    return {
        a.name: int(a.value) for a in workload.args
        if isinstance(a, Scalar) and "int" in a.scalar
    }  # fmt: skip


def resized(base: Workload, values: Mapping[str, int], alike: Sequence[Workload]) -> Workload:
    """The launch with these scalars; grid, lengths and bounds follow as they do from size to size.

    What follows no scalar stays as it is.
    """
    x, y, z = (_grid_side(axis, base, values, alike) for axis in range(3))
    args: list[Argument] = []
    for at, argument in enumerate(base.args):
        if isinstance(argument, Buffer):
            args.append(_buffer(at, argument, values, _sides((x, y, z)), alike))
        elif argument.name in values:
            args.append(msgspec.structs.replace(argument, value=values[argument.name]))
        else:
            args.append(argument)
    return msgspec.structs.replace(base, grid=(x, y, z), args=tuple(args), timed=False)


def _grid_side(
    axis: int, base: Workload, values: Mapping[str, int], alike: Sequence[Workload]
) -> int:
    rule = grid_rule(axis, base, alike)
    return rule.of(values) if rule is not None else min(base.grid[axis], _BLOCKS)


def grid_rule(axis: int, base: Workload, alike: Sequence[Workload]) -> Product | None:
    """How the grid's side follows the scalars for the base's block; None: it does not."""
    if all(w.grid[axis] == 1 for w in alike) and len(alike) > 1:
        return None
    known = [(values_of(w), w.grid[axis], w.block[axis]) for w in alike]
    for fewer, down in _DIVISIONS if len(alike) > 1 else _ROUNDED_UP:
        for names, by_block in itertools.product(_subsets(values_of(base)), (True, False)):
            rules = [Product(names, 1, fewer * (b if by_block else 1), down) for _, _, b in known]
            if all(r.of(v) == g for r, (v, g, _) in zip(rules, known, strict=True)):
                divisor = fewer * (base.block[axis] if by_block else 1)
                return Product(names, 1, divisor, down)
    return None


def _sides(grid: tuple[int, int, int]) -> dict[str, int]:
    """The grid as if it were scalars: what has one element a block follows it."""
    return {f"gridDim.{axis}": side for axis, side in zip("xyz", grid, strict=True)}


def _buffer(
    at: int, base: Buffer, values: Mapping[str, int], sides: Mapping[str, int],
    alike: Sequence[Workload],
) -> Buffer:  # fmt: skip
    """The buffer at that place among the arguments, for these scalars and sides of the grid.

    One launch alone does not show that a length follows the grid.
    """
    known = [(values_of(w), w.args[at]) for w in alike]
    buffers = [(v, b) for v, b in known if isinstance(b, Buffer)]
    length = _follow([(v, b.length) for v, b in buffers], values)
    if length is None and len(alike) > 1:
        by_grid = [
            ({**values_of(w), **_sides(w.grid)}, b.length)
            for w, (_, b) in zip(alike, buffers, strict=True)
        ]
        length = _follow(by_grid, {**values, **sides})
    bounds = [(v, b.below) for v, b in buffers if b.below is not None]
    below = _follow(bounds, values) if len(bounds) == len(buffers) else base.below
    tops = [(v, int(b.high)) for v, b in buffers if b.high is not None]
    high = base.high
    if base.fill == "sorted" and len(tops) == len(buffers):
        high = _follow(tops, values) or base.high
    return msgspec.structs.replace(
        base, length=length or base.length, below=below or base.below, high=high
    )


def _follow(
    known: Sequence[tuple[Mapping[str, int], int]], values: Mapping[str, int]
) -> int | None:
    """What a number that was so for those scalars is for these; None: it does not follow them."""
    if len({number for _, number in known}) == 1 and len(known) > 1:
        return known[0][1]
    for names in _subsets(known[0][0]):
        for factor in (1, *_FEWER[1:], 3):
            rule = Product(names, factor, 1)
            if all(rule.of(v) == number for v, number in known):
                return rule.of(values)
            if all(rule.of(v) + 1 == number for v, number in known):
                return rule.of(values) + 1
    return None


def _subsets(values: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """Scalars that may multiply to a number, the fewest first."""
    for count in range(1, _MOST_FACTORS + 1):
        yield from itertools.combinations([n for n, v in values.items() if v > 0], count)
