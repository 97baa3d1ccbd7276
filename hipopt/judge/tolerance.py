"""How far a candidate may be from the reference, element by element.

A candidate may sum in another order, fuse a multiply with an add, or use another expansion of the
same function; it may not lose digits. How far rounding carries in this kernel, on these data, is
measured: the reference runs on the microscope with every result rounded up, down and towards zero,
in other orders of threads, and on inputs that are off by units in their last place (`Spread`). An
element's tolerance is a multiple of what rounding moves it by, at least some units in the last
place of its type, and no wider than a limit of its type. More is allowed only where the order of
the reference's own threads moves its results further, or where they are ill-conditioned: where
inputs that are the same but for their last digit give other results.

After the CESTAC method (Vignes, A stochastic arithmetic for reliable scientific computation, 1993)
and Monte Carlo arithmetic (Parker, 1997); directed modes in place of random ones, since they bound
what random ones sample, and repeat. Integers and booleans are exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hipopt.records import DType, Record

Floats = NDArray[np.float64]

SAFETY = 4.0
"""Multiple of the spread that is allowed: other honest code rounds elsewhere, and more often."""
BACKWARD = 16.0
"""Multiple of what one unit in the last place of the inputs moves a result by: honest code gives
the exact results of inputs that are off by some units (it is backward stable); by more than one or
two where it adds equal terms one by one, as their errors don't cancel. The next narrower type loses
8192 units."""
ALIKE = 1 / 3
"""Units that each of many equal terms adds to the error of a plain loop over them: at most half a
unit of the partial sum, which is smaller while it grows."""
_TYPICAL = 0.9
"""Quantile of relative spreads over a buffer that counts for each of its elements: a single one can
be zero by luck."""


class Limits(Record, frozen=True, kw_only=True):
    """Bounds of a type's tolerances: relative, and in units of the output's magnitude.

    The least are what honest code of that type differs by where the reference's own rounding does
    not show, because it computes in a wider type: fast intrinsics (a few units in the last place,
    more for large exponents), a sum in another order. The widest are below what is lost by
    computing in the next narrower type.
    """

    least_rtol: float
    least_atol: float
    widest_rtol: float
    widest_atol: float


class Spread(NamedTuple):
    """How far each element of one buffer of the reference moves; shapes as the buffer's.

    Infinite: no bound is known.
    """

    rounding: Floats
    """With every result rounded up, down or towards zero."""
    order: Floats
    """With threads and blocks in another order."""
    inputs: Floats
    """With each input off by about one unit in its last place; 0 where that is not known. Steps
    (of comparisons, of roundings to an integer) are not in it."""
    terms: float = 0.0
    """How many equal inputs a result may be a sum over; 0 where they are few."""

    def of(self, chosen: NDArray[np.bool_]) -> Spread:
        """The spread of the chosen elements."""
        return Spread(self.rounding[chosen], self.order[chosen], self.inputs[chosen], self.terms)


EXACT = Limits(least_rtol=0.0, least_atol=0.0, widest_rtol=0.0, widest_atol=0.0)

_LIMITS: dict[str, Limits] = {
    # Units in the last place: 2.2e-16, 1.2e-7, 9.8e-4, 7.8e-3.
    "float64": Limits(least_rtol=1.5e-14, least_atol=4e-15, widest_rtol=1e-9, widest_atol=1e-11),
    "float32": Limits(least_rtol=8e-6, least_atol=2e-6, widest_rtol=1e-4, widest_atol=1e-5),
    "float16": Limits(least_rtol=2e-3, least_atol=2.5e-4, widest_rtol=1e-2, widest_atol=1e-3),
    "bfloat16": Limits(least_rtol=1.6e-2, least_atol=2e-3, widest_rtol=3e-2, widest_atol=4e-3),
}


_SMALLEST: dict[str, float] = {"float64": 2.0**-1022, "float32": 2.0**-126, "bfloat16": 2.0**-126}
"""The least normal value: fast code takes what is smaller for zero."""
_STEP: dict[str, float] = {
    "float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7,
}  # fmt: skip
"""Between neighbouring values, relative to them, at most."""


def limits_of(dtype: DType) -> Limits:
    """The bounds of the type's tolerances."""
    return _LIMITS.get(dtype, EXACT)


def least(dtype: DType, expected: Floats, scale: float = 0.0) -> Floats:
    """The tolerance that every honest candidate is granted, one for each element.

    Args:
        dtype: the buffer's type.
        expected: the reference's results, shape (n,).
        scale: the magnitude that such results usually have; theirs counts if it is larger.
            A single sum can come out near zero by luck.
    """
    limits = limits_of(dtype)
    usual = max(scale, magnitude(expected))
    smallest = _SMALLEST.get(dtype, 0.0)
    return _bound(limits.least_rtol, limits.least_atol * usual + smallest, expected)


def widest(dtype: DType, expected: Floats, scale: float = 0.0) -> Floats:
    """The tolerance that rounding never widens an element's beyond; arguments as for `least`."""
    limits = limits_of(dtype)
    usual = max(scale, root_mean_square(expected))
    smallest = _SMALLEST.get(dtype, 0.0)
    return _bound(limits.widest_rtol, limits.widest_atol * usual + smallest, expected)


def from_spread(dtype: DType, expected: Floats, spread: Spread, scale: float = 0.0) -> Floats:
    """The tolerance of each element, where the reference's own rounding error is known.

    What rounding moves the middle one of the elements by is granted to all: sums of like terms have
    like errors, whatever they come to. Where results move by their last place at most, the original
    computes in a wider type (or nothing at all), and its spread can't tell what cancels in a
    narrower one: then the least absolute part is in units of the larger results.

    An order of operations may be exact by luck where no other is: equal terms, summed in a tree of
    a power of two, say. No rounding mode shows that; inputs that are off do. Where those move a
    result beyond its widest tolerance, that is no bound any more.

    Where it is zero everywhere and all results are integers (as sums of small integers are), any
    honest order and any honest type gives the same: the comparison is exact.
    """
    if is_exact(expected, spread):
        return np.zeros_like(expected)
    relative = _typical(expected, spread.rounding)
    finite = np.where(np.isfinite(expected), expected, 0.0)  # others must match in place
    carried = np.maximum(spread.rounding, relative * np.abs(finite))
    carried = np.maximum(carried, _middle(spread.rounding[np.isfinite(expected)]))
    if relative <= _STEP.get(dtype, 0.0):
        scale = max(scale, _large(expected))
    lowest, highest = least(dtype, expected, scale), widest(dtype, expected, scale)
    rounded = np.clip(SAFETY * carried, lowest, highest)
    order = np.where(np.isfinite(spread.order), spread.order, 0.0)
    ordered: Floats = np.maximum(rounded, SAFETY * order)
    conditioned = np.maximum(ordered, _ill_conditioned(spread, highest))
    return np.maximum(conditioned, np.minimum(_in_a_loop(finite, spread), highest))


def _ill_conditioned(spread: Spread, highest: Floats) -> Floats:
    """What the condition of each element asks for.

    Where that is beyond the widest tolerance, so may be what rounding moves it by: a long sum of
    equal terms errs by more units than single inputs are off by.
    """
    backward = BACKWARD * spread.inputs
    is_beyond = (backward > highest) & np.isfinite(spread.rounding)
    allowed: Floats = np.where(is_beyond, np.maximum(backward, SAFETY * spread.rounding), backward)
    return allowed


def _in_a_loop(expected: Floats, spread: Spread) -> Floats:
    """How far results may be off where equal terms are added one by one.

    A sum that is off by some units is the exact sum of inputs that all are, the same way. What that
    does to a result can cancel by luck: what it does to most is granted to all.
    """
    moved = np.maximum(spread.inputs, _typical(expected, spread.inputs) * np.abs(expected))
    return ALIKE * spread.terms * moved


def is_exact(expected: Floats, spread: Spread) -> bool:
    """Whether results are such as have no rounding error in any order."""
    moved = spread.rounding.any() or spread.order.any()
    return not moved and bool(np.isfinite(expected).all() and is_whole(expected).all())


def is_whole(values: Floats) -> NDArray[np.bool_]:
    """Which values are integers."""
    whole: NDArray[np.bool_] = np.rint(values) == values
    return whole


def is_lost(dtype: DType, expected: Floats, spread: Spread, scale: float) -> NDArray[np.bool_]:
    """Where the reference rounded otherwise would itself be wrong, so that none could be right."""
    lost: NDArray[np.bool_] = spread.rounding > widest(dtype, expected, scale)
    return lost


def magnitude(values: Floats) -> float:
    """The root mean square, but at most twice the median of what is finite and not zero.

    Where few results are by far larger than all others, what is small beside those few is not
    small.
    """
    return min(root_mean_square(values), 2 * _middle(_magnitudes(values)))


def root_mean_square(values: Floats) -> float:
    """Of the finite ones; 0 where there are none."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0
    largest = float(np.max(np.abs(finite)))
    if largest == 0.0:
        return 0.0
    return largest * float(np.sqrt(np.mean(np.square(finite / largest))))


def _typical(expected: Floats, spread: Floats) -> float:
    known = np.isfinite(expected) & np.isfinite(spread) & (expected != 0)
    if not known.any():
        return 0.0
    with np.errstate(over="ignore"):
        shares = spread[known] / np.abs(expected[known])
    return min(1.0, float(np.quantile(shares, _TYPICAL, method="lower")))


def _large(values: Floats) -> float:
    """The magnitude that a tenth of the results exceed, no more than their root mean square."""
    sizes = _magnitudes(values)
    large = float(np.quantile(sizes, _TYPICAL, method="lower")) if sizes.size else 0.0
    return min(root_mean_square(values), large)


def _magnitudes(values: Floats) -> Floats:
    sizes: Floats = np.abs(values[np.isfinite(values) & (values != 0)])
    return sizes


def _middle(values: Floats) -> float:
    """The median of the finite ones, 0 where there are none."""
    finite = values[np.isfinite(values)]
    return float(np.quantile(finite, 0.5, method="lower")) if finite.size else 0.0


def _bound(rtol: float, atol: float, expected: Floats) -> Floats:
    with np.errstate(invalid="ignore", over="ignore"):
        bound: Floats = rtol * np.abs(expected) + atol
    return bound
