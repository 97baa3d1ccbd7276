"""How far the reference's results move when its rounding, or the order of its threads, changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from hipopt.device.interface import Fault, Rounding, Schedule
from hipopt.judge.execution import Arrays, Runner
from hipopt.judge.tolerance import Floats, Spread
from hipopt.records import Workload

ROUNDINGS: tuple[Rounding, ...] = ("up", "down", "zero")


def shuffled(seed: int) -> Schedule:
    """Threads and blocks in an order drawn from `seed`."""
    return Schedule(threads="shuffled", blocks="shuffled", seed=seed & 0xFFFF_FFFF)


REVERSE = Schedule(threads="reverse", blocks="reverse")
ORDERS = (REVERSE, shuffled(1))
"""What shows whether the reference's results depend on the order of its threads."""


def spread_of(
    runner: Runner, workload: Workload, before: Arrays, *, in_any_order: bool
) -> list[Spread] | Fault:
    """For each buffer how far its elements move at most.

    Args:
        runner: runs the reference on a microscope.
        workload: the launch.
        before: what the buffers hold before it.
        in_any_order: whether orders of threads are tried too.
    """
    nearest = runner.run(workload, before)
    if isinstance(nearest, Fault):
        return nearest
    rounding = _moved(runner, nearest, [Schedule(rounding=mode) for mode in ROUNDINGS])
    order = _moved(runner, nearest, ORDERS if in_any_order else ())
    if isinstance(rounding, Fault) or isinstance(order, Fault):
        return rounding if isinstance(rounding, Fault) else cast(Fault, order)
    return [Spread(*pair) for pair in zip(rounding, order, strict=True)]


def _moved(runner: Runner, nearest: Arrays, schedules: Sequence[Schedule]) -> list[Floats] | Fault:
    """How far each element is from `nearest` at most under these schedules."""
    furthest: list[Floats] = [np.zeros(array.shape) for array in nearest]
    for schedule in schedules:
        left = runner.again(schedule)
        if isinstance(left, Fault):
            return left
        furthest = [
            np.maximum(f, _gap(n, m)) for f, n, m in zip(furthest, nearest, left, strict=True)
        ]
    return furthest


def _gap(nearest: NDArray[Any], moved: NDArray[Any]) -> Floats:
    """|moved - nearest|; infinite where only one of them is finite. Integers don't round."""
    if nearest.dtype.kind in "iub":
        return np.zeros(nearest.shape)
    near, far = nearest.astype(np.float64), moved.astype(np.float64)
    same = (near == far) | (np.isnan(near) & np.isnan(far))
    with np.errstate(invalid="ignore", over="ignore"):
        gap: Floats = np.where(same, 0.0, np.abs(far - near))
    return np.nan_to_num(gap, nan=np.inf, posinf=np.inf)
