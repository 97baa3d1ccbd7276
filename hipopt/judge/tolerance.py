"""How far a correct candidate may be from the reference, by type.

A candidate may sum in another order, fuse a multiply with an add, or use another expansion of the
same function; it may not lose digits. The relative part bounds the rounding of one element's
computation; the absolute part, scaled with the root mean square of the reference's output, lets
elements differ that came out small by cancellation. Integers and booleans are exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipopt.records import DType, Record


class Tolerance(Record, frozen=True, kw_only=True):
    """|actual - expected| <= atol + rtol * |expected|."""

    rtol: float
    atol: float


_BY_TYPE: dict[str, tuple[float, float]] = {
    # rtol, and atol in units of the output's root mean square. Units in the last place:
    "float64": (1e-9, 1e-11),  # 2.2e-16
    "float32": (1e-4, 1e-5),  # 1.2e-7
    "float16": (1e-2, 1e-3),  # 9.8e-4
    "bfloat16": (3e-2, 4e-3),  # 7.8e-3
}


def tolerance_for(dtype: DType, expected: NDArray[np.float64]) -> Tolerance:
    """The tolerance for outputs `expected` (any shape, as float64) of type `dtype`."""
    if dtype not in _BY_TYPE:
        return Tolerance(rtol=0.0, atol=0.0)
    rtol, share = _BY_TYPE[dtype]
    return Tolerance(rtol=rtol, atol=share * _root_mean_square(expected))


def _root_mean_square(values: NDArray[Any]) -> float:
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0
    largest = float(np.max(np.abs(finite)))
    if largest == 0.0:
        return 0.0
    return largest * float(np.sqrt(np.mean(np.square(finite / largest))))
