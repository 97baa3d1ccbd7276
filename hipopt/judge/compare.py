"""Whether a buffer holds what the reference left in it.

Runs in our process, on copies that the candidate's process can't reach.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipopt.judge.tolerance import (
    Floats,
    Spread,
    from_spread,
    is_whole,
    least,
    limits_of,
    root_mean_square,
    widest,
)
from hipopt.records import DType, Record

SpreadSource = Callable[[], Spread | None]
"""How far the elements of one buffer of the reference move; None: it can't be told.
Asked only where it decides: it costs launches."""


class Difference(Record, frozen=True, kw_only=True):
    """Where and how far one buffer is off."""

    wrong: int
    """Number of wrong elements."""
    first_index: int
    expected: str
    actual: str
    max_abs_error: float | None
    """Over the wrong elements; None where no finite difference exists."""
    tolerance: float
    """Largest difference allowed at `first_index`; 0: exact."""
    rtol: float
    atol: float
    """No tolerance was wider than rtol x |expected| + atol."""


def difference(
    dtype: DType,
    before: NDArray[Any],
    expected: NDArray[Any],
    actual: NDArray[Any],
    *,
    poisoned: bool,
    spread: SpreadSource | None = None,
    scale: float = 0.0,
) -> Difference | None:
    """How `actual` differs from `expected`; None: it doesn't.

    All arrays have shape `(length,)` and the dtype's numpy type. Elements that the reference must
    not have written (all of a buffer that it left as it was; in a `poisoned` buffer those that
    still hold poison) agree bit for bit. All others agree within the tolerance that the reference's
    `spread` gives, or within the type's widest where that is not known; NaN and infinities agree in
    place and sign. `scale` is the magnitude that the results usually have.
    """
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        raise ValueError(f"{actual.shape} {actual.dtype} is not {expected.shape} {expected.dtype}")
    same = _same_bits(expected, actual)
    if same.all():
        return None
    untouched = _same_bits(before, expected)
    exact = untouched if poisoned or untouched.all() else np.zeros_like(untouched)
    allowed = np.zeros(expected.shape)
    if expected.dtype.kind in "iub":
        wrong = ~same
    else:
        judged = ~exact
        allowed[judged] = _allowed(dtype, expected[judged], actual[judged], spread, judged, scale)
        wrong = np.where(exact, ~same, ~_close(_wide(expected), _wide(actual), allowed))
    if not wrong.any():
        return None
    usual = max(scale, root_mean_square(_wide(expected[~exact])))
    return _describe(dtype, wrong, expected, actual, allowed, usual)


def _allowed(
    dtype: DType, expected: NDArray[Any], actual: NDArray[Any], spread: SpreadSource | None,
    judged: NDArray[np.bool_], scale: float,
) -> Floats:  # fmt: skip
    """The tolerances of the elements that are judged by one."""
    want, got = _wide(expected), _wide(actual)
    if spread is None:
        return widest(dtype, want, scale)
    granted = least(dtype, want, scale)
    may_be_exact = bool(is_whole(want).all())
    if not may_be_exact and _close(want, got, granted).all():
        return granted
    known = spread()
    if known is None:
        return widest(dtype, want, scale)
    return from_spread(dtype, want, known.of(judged), scale)


def _same_bits(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    bits = np.dtype(f"u{a.dtype.itemsize}")
    same: NDArray[np.bool_] = a.view(bits) == b.view(bits)
    return same


def _wide(values: NDArray[Any]) -> Floats:
    wide: Floats = values.astype(np.float64)
    return wide


def _close(expected: Floats, actual: Floats, allowed: Floats) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(actual - expected) <= allowed
    finite = np.isfinite(expected) & np.isfinite(actual)
    both_nan = np.isnan(expected) & np.isnan(actual)
    verdict: NDArray[np.bool_] = np.where(finite, near, both_nan | (expected == actual))
    return verdict


def _describe(
    dtype: DType, wrong: NDArray[np.bool_], expected: NDArray[Any], actual: NDArray[Any],
    allowed: Floats, scale: float,
) -> Difference:  # fmt: skip
    first = int(np.argmax(wrong))
    with np.errstate(invalid="ignore", over="ignore"):
        gaps = np.abs(_wide(actual[wrong]) - _wide(expected[wrong]))
    finite = gaps[np.isfinite(gaps)]
    limits = limits_of(dtype)
    here = float(allowed[first])
    return Difference(
        wrong=int(wrong.sum()),
        first_index=first,
        expected=str(expected[first]),
        actual=str(actual[first]),
        max_abs_error=float(finite.max()) if finite.size else None,
        tolerance=here if np.isfinite(here) else 0.0,
        rtol=limits.widest_rtol,
        atol=limits.widest_atol * scale,
    )
