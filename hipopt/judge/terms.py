"""How many equal terms an honest kernel may add one by one.

Equal terms err alike: each addition within a binade rounds by the same amount, up to half a unit of
the sum, and always the same way. A plain loop over n of them loses up to n/3 units where a tree
loses log2 n, and nothing that the reference does in its own order shows that. Distinct terms lose
sqrt(n)/3 and less, which other allowances cover.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipopt.device.interface import Fault
from hipopt.judge.execution import Arrays, Runner
from hipopt.judge.outputs import bits
from hipopt.judge.tolerance import ALIKE, BACKWARD, Floats
from hipopt.records import Workload

_SHARE = 1 / 16
"""Of the inputs are changed, to see what depends on many of them: of the results that depend on 48
or more, 95 % change."""
_CHANGE = 2.0**-6
"""By so much, towards zero, where they stay in any range that holds zero."""
_NEARLY_ALL = 0.95


def equal_terms(
    runner: Runner, workload: Workload, before: Arrays, nearest: Arrays, inputs: list[Floats]
) -> list[float]:
    """For each buffer, the number of equal inputs that one of its results may be a sum over.

    0 where they are too few to matter, or where results depend on few inputs.

    Args:
        runner: runs the reference on a microscope.
        workload: the launch.
        before: what the buffers hold before it.
        nearest: what they hold after it.
        inputs: how far each of these results moves with its inputs.
    """
    none = [0.0 for _ in nearest]
    repeated = float(max((_repeated(array) for array in before), default=0))
    if repeated * ALIKE <= BACKWARD or not any(moved.any() for moved in inputs):
        return none
    left = runner.run(workload, _changed(workload, before))
    if isinstance(left, Fault):
        return none
    changed = [bits(was) != bits(now) for was, now in zip(nearest, left, strict=True)]
    depends = (_nearly_all(c[m > 0]) for c, m in zip(changed, inputs, strict=True))
    return [repeated if many else 0.0 for many in depends]


def _repeated(array: NDArray[Any]) -> int:
    """How often the most frequent float that isn't zero stands there; 0 if there is no other."""
    if array.dtype.kind in "iub":
        return 0
    values, counts = np.unique(array.astype(np.float64), return_counts=True)
    return int(counts[values != 0].max(initial=0)) if values.size > 1 else 0


def _changed(workload: Workload, before: Arrays) -> Arrays:
    """The inputs, a few of the floats changed; sorted ones stay, or they would not be sorted."""
    changed = []
    for index, (buffer, array) in enumerate(zip(workload.buffers, before, strict=True)):
        if array.dtype.kind in "iub" or buffer.fill == "sorted":
            changed.append(array)
            continue
        few = np.random.default_rng([index, array.size]).random(array.size) < _SHARE
        less = (array.astype(np.float64) * (1.0 - _CHANGE)).astype(array.dtype)
        changed.append(np.where(few, less, array))
    return changed


def _nearly_all(changed: NDArray[np.bool_]) -> bool:
    return bool(changed.size) and float(changed.mean()) > _NEARLY_ALL
