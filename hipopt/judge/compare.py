"""Whether a buffer holds what the reference left in it.

Runs in our process, on copies that the candidate's process can't reach.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipopt.judge.tolerance import Tolerance, tolerance_for
from hipopt.records import DType, Record


class Difference(Record, frozen=True, kw_only=True):
    """Where and how far one buffer is off."""

    wrong: int
    """Number of wrong elements."""
    first_index: int
    expected: str
    actual: str
    max_abs_error: float | None
    """Over the wrong elements; None where no finite difference exists."""
    tolerance: Tolerance


def difference(
    dtype: DType,
    before: NDArray[Any],
    expected: NDArray[Any],
    actual: NDArray[Any],
    *,
    poisoned: bool,
) -> Difference | None:
    """How `actual` differs from `expected`; None: it doesn't.

    All three have shape `(length,)` and the dtype's numpy type. Elements that the reference must
    not have written (all of a buffer that it left as it was; in a `poisoned` buffer those that
    still hold poison) agree bit for bit. All others agree within the type's tolerance; NaN and
    infinities agree in place and sign.
    """
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        raise ValueError(f"{actual.shape} {actual.dtype} is not {expected.shape} {expected.dtype}")
    if _same_bits(expected, actual).all():
        return None
    untouched = _same_bits(before, expected)
    exact = untouched if poisoned or untouched.all() else np.zeros_like(untouched)
    wide_expected = _widen(expected)
    tolerance = tolerance_for(dtype, wide_expected[~exact])
    close = _close(wide_expected, _widen(actual), tolerance)
    wrong = ~np.where(exact, _same_bits(expected, actual), close)
    if not wrong.any():
        return None
    return _describe(wrong, expected, actual, tolerance)


def _same_bits(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    bits = np.dtype(f"u{a.dtype.itemsize}")
    same: NDArray[np.bool_] = a.view(bits) == b.view(bits)
    return same


def _widen(values: NDArray[Any]) -> NDArray[Any]:
    """Floats as float64; integers and booleans as they are."""
    return values if values.dtype.kind in "iub" else values.astype(np.float64)


def _close(expected: NDArray[Any], actual: NDArray[Any], tolerance: Tolerance) -> NDArray[np.bool_]:
    if expected.dtype.kind in "iub":
        return _same_bits(expected, actual)
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(actual - expected) <= tolerance.atol + tolerance.rtol * np.abs(expected)
    finite = np.isfinite(expected) & np.isfinite(actual)
    both_nan = np.isnan(expected) & np.isnan(actual)
    verdict: NDArray[np.bool_] = np.where(finite, near, both_nan | (expected == actual))
    return verdict


def _describe(
    wrong: NDArray[np.bool_], expected: NDArray[Any], actual: NDArray[Any], tolerance: Tolerance
) -> Difference:
    first = int(np.argmax(wrong))
    with np.errstate(invalid="ignore", over="ignore"):
        gaps = np.abs(actual[wrong].astype(np.float64) - expected[wrong].astype(np.float64))
    finite = gaps[np.isfinite(gaps)]
    return Difference(
        wrong=int(wrong.sum()),
        first_index=first,
        expected=str(expected[first]),
        actual=str(actual[first]),
        max_abs_error=float(finite.max()) if finite.size else None,
        tolerance=tolerance,
    )
