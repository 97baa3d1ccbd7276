"""The families that input data comes from, so that no single habit of data hides an error.

- ordinary: as the fill says: normal, or evenly spread over its range.
- wide: magnitudes spread evenly over many binades, both signs. Shows lost small terms, overflow in
  intermediate results, and fixed point in place of floating point.
- whole: small integers, or multiples of a power of two where the range holds too few. Sums and
  products of them are exact in any order, so that results can be compared exactly.
- extreme: half of the elements are one of a few values: zero, minus zero, one, the ends of the
  range, and two repeated ones; a quarter in a row is the same. Shows ties, divisions, and
  comparisons at the edge.

In wide and whole data the first and the last element are the two ends of all, so that a greatest or
a least is lost where the last one is not looked at.

All stay within the declared range; indices keep being valid indices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hipopt.records import Family

WIDE_BINADES = {"float16": (-12, 3), "bfloat16": (-24, 12), "float32": (-24, 12)}
"""Binary exponents of a wide `normal` fill; squares and sums of them stay finite."""
_WIDE_BINADES_DOUBLE = (-40, 20)
WIDE_INTEGER_BITS = {1: 6.6, 2: 12, 4: 24, 8: 40}
"""Bits of the largest integers of a wide `normal` fill, by the type's bytes."""
_WIDE_RANGE_BINADES = 20
"""How far below its end a wide range that holds zero reaches."""
_INTEGER_SPREAD = 100
"""Integers of a `normal` fill are at most so large."""
_WHOLE_MAX = 4
_FEWEST_WHOLE = 4
"""A range with fewer integers is cut into steps of a power of two instead."""
_STEPS = 8
_FAR_BINADES = {"float16": 0, "bfloat16": 4, "float32": 4}
"""How far above all others in a wide `normal` fill the ends lie, in binades."""
_FAR_BINADES_DOUBLE = 4
_MANY = 32
"""Values of which two may be far from the others."""
_FAR_WHOLE = 64
"""Ends of a whole `normal` fill; small enough for sums that are exact."""
_DENSITY = {"ordinary": 0.5, "wide": 0.9, "whole": 0.1, "extreme": 0.5}
"""Share of a bool buffer that is true."""

_Rng = np.random.Generator


class Range(NamedTuple):
    """The values from `low` up to below `high`, in a type."""

    dtype: np.dtype[Any]
    low: float
    high: float
    of_indices: bool = False

    @property
    def is_integer(self) -> bool:
        """Whether the type holds integers."""
        return self.dtype.kind in "iu"

    @property
    def top(self) -> float:
        """The largest value of the type below `high`."""
        if self.is_integer:
            return max(self.low, self.high - 1)
        top = self.dtype.type(self.high)
        return float(top if top < self.high else np.nextafter(top, self.dtype.type(self.low)))

    def hold(self, values: NDArray[Any]) -> NDArray[Any]:
        """The values in the type and within the range."""
        if self.is_integer:
            return values.astype(self.dtype)
        inside: NDArray[Any] = np.clip(values, self.low, self.top).astype(self.dtype)
        return inside


def draw(length: int, span: Range, rng: _Rng, family: Family) -> NDArray[Any]:
    """`length` values of the range, drawn as the family says."""
    if span.dtype.kind == "b":
        return _true(length, rng, family)
    drawers: dict[Family, Callable[[int, Range, _Rng], NDArray[Any]]] = {
        "ordinary": _even,
        "wide": _wide_integers if span.is_integer else _wide,
        "whole": _even if span.of_indices else _whole,
        "extreme": _extreme,
    }
    values = drawers[family](length, span, rng)
    if span.of_indices or family == "whole":
        return values
    return _with_ends(values, span.low, span.top, family)


def draw_normal(length: int, dtype: np.dtype[Any], rng: _Rng, family: Family) -> NDArray[Any]:
    """Mean 0 and deviation 1; integers are spread over +-100, unsigned ones over 0 to 100."""
    if dtype.kind == "b":
        return _true(length, rng, family)
    if dtype.kind in "iu":
        return _normal_integers(length, dtype, rng, family)
    match family:
        case "ordinary":
            return rng.standard_normal(length).astype(dtype)
        case "wide":
            low, high = WIDE_BINADES.get(dtype.name, _WIDE_BINADES_DOUBLE)
            values = (_signs(length, rng) * np.exp2(rng.uniform(low, high, length))).astype(dtype)
            end = 2.0 ** (high + _FAR_BINADES.get(dtype.name, _FAR_BINADES_DOUBLE))
            return _with_ends(values, -end, end, family)
        case "whole":
            values = rng.integers(-_WHOLE_MAX, _WHOLE_MAX + 1, length).astype(dtype)
            return _with_ends(values, -_FAR_WHOLE, _FAR_WHOLE, family)
        case "extreme":
            values = rng.standard_normal(length)
            palette = np.array([0.0, -0.0, 1.0, -1.0, 4.0, -4.0, *rng.standard_normal(2)])
            return _sprinkled(values, palette, rng).astype(dtype)


def _true(length: int, rng: _Rng, family: Family) -> NDArray[Any]:
    true: NDArray[Any] = rng.random(length) < _DENSITY[family]
    return true


def _normal_integers(length: int, dtype: np.dtype[Any], rng: _Rng, family: Family) -> NDArray[Any]:
    top = _INTEGER_SPREAD
    match family:
        case "ordinary":
            values = np.clip(np.rint(rng.standard_normal(length) * 32), -top, top)
        case "wide":
            binades = rng.uniform(0, WIDE_INTEGER_BITS[dtype.itemsize], length)
            values = _signs(length, rng) * np.floor(np.exp2(binades))
        case "whole":
            values = rng.integers(-_WHOLE_MAX, _WHOLE_MAX + 1, length)
        case "extreme":
            values = rng.integers(-top, top + 1, length)
            values = _sprinkled(values, np.array([0, 1, -1, top, -top]), rng)
    if dtype.kind == "u":
        values = np.abs(values)
    end = _FAR_WHOLE if family == "whole" else int(2 ** WIDE_INTEGER_BITS[dtype.itemsize])
    least = 0 if dtype.kind == "u" else -end
    return _with_ends(values.astype(dtype), least, end, family)


def _with_ends(values: NDArray[Any], least: float, greatest: float, family: Family) -> NDArray[Any]:
    """The values with both ends first and last: the greatest last if wide, the least if whole.

    A kernel that stops short of either end loses a maximum or a minimum. Few values, such as a
    polynomial's coefficients, stay as they are: the ends would outweigh all others.
    """
    if values.size >= _MANY and family in {"wide", "whole"}:
        ends = (least, greatest) if family == "wide" else (greatest, least)
        values[[0, -1]] = np.array(ends).astype(values.dtype)
    return values


def _even(length: int, span: Range, rng: _Rng) -> NDArray[Any]:
    if span.is_integer:
        return _integers(length, span.low, span.high, rng).astype(span.dtype)
    return span.hold(rng.uniform(span.low, span.high, length))


def _integers(length: int, low: float, high: float, rng: _Rng) -> NDArray[Any]:
    """Integers from `low` up to below `high`, in the one 64-bit type that holds them."""
    wide = np.uint64 if low >= 0 else np.int64
    drawn: NDArray[Any] = rng.integers(int(low), max(int(high), int(low) + 1), length, dtype=wide)
    return drawn


def _wide_integers(length: int, span: Range, rng: _Rng) -> NDArray[Any]:
    """Distances from the low end spread evenly over the binades."""
    width = max(1, int(span.high) - int(span.low))
    steps = np.minimum(np.exp2(rng.uniform(0, np.log2(width + 1), length)) - 1, width - 1)
    low = int(span.low)
    values: NDArray[Any] = steps.astype(np.uint64 if low >= 0 else np.int64) + low
    return values.astype(span.dtype)


def _wide(length: int, span: Range, rng: _Rng) -> NDArray[Any]:
    low, high = span.low, span.high
    if low > 0 or high < 0:
        ends = np.log(np.abs([low, high]))
        return span.hold(np.sign(high) * np.exp(rng.uniform(ends.min(), ends.max(), length)))
    shrink = np.exp2(-rng.uniform(0, _WIDE_RANGE_BINADES, length))
    negative = rng.random(length) < (0.5 if low < 0 < high else float(low < 0))
    return span.hold(shrink * np.where(negative, low, high))


def _whole(length: int, span: Range, rng: _Rng) -> NDArray[Any]:
    """Few neighbouring integers, those around zero if the range has them."""
    step = 1.0
    while not span.is_integer and (span.high - span.low) / step < _FEWEST_WHOLE:
        step /= _STEPS
    first = np.ceil(max(span.low, min(-_WHOLE_MAX * step, span.high - _STEPS * step)) / step)
    last = min(first + 2 * _WHOLE_MAX, np.ceil(span.high / step) - 1)
    last = max(first, last)
    inner = int(last - first > _FEWEST_WHOLE)
    drawn = rng.integers(int(first) + inner, int(last) - inner + 1, length)
    drawn = _with_ends(drawn, first, last, "whole")
    return span.hold(drawn if span.is_integer else drawn * step)


def _extreme(length: int, span: Range, rng: _Rng) -> NDArray[Any]:
    values = _even(length, span, rng)
    special = [v for v in (0, 1) if span.low <= v <= span.top]
    repeated = _even(2, span, rng)
    palette = np.array([span.low, span.top, *special]).astype(span.dtype)
    if not span.is_integer and 0 in special:
        palette = np.append(palette, span.dtype.type(-0.0))
    return _sprinkled(values, np.concatenate([palette, repeated]), rng)


def _sprinkled(values: NDArray[Any], palette: NDArray[Any], rng: _Rng) -> NDArray[Any]:
    """The values, half of them replaced by one of the palette, a quarter in a row by the same."""
    chosen = palette[rng.integers(0, palette.size, values.size)]
    sprinkled = np.where(rng.random(values.size) < 0.5, chosen, values)
    if values.size >= _MANY:
        run = values.size // 4
        start = int(rng.integers(0, values.size - run))
        sprinkled[start : start + run] = _short(rng.choice(palette), palette)
    return sprinkled


def _short(value: Any, palette: NDArray[Any]) -> Any:  # noqa: ANN401 (a scalar of NumPy's)
    """The value with 4 significant bits, if that stays in the palette's range.

    Many equal terms are summed without error then, in whatever order; with a full mantissa a plain
    loop errs by half a unit a term, always the same way, where a tree does not err at all.
    """
    if palette.dtype.kind != "f":
        return value
    mantissa, exponent = np.frexp(value)
    short = np.ldexp(np.rint(mantissa * 16) / 16, exponent).astype(palette.dtype)
    return short if palette.min() <= short <= palette.max() else value


def _signs(length: int, rng: _Rng) -> NDArray[np.float64]:
    return rng.choice([-1.0, 1.0], length)
