"""How far the reference's results move with its rounding, its threads' order and its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from hipopt.device.interface import Fault, Rounding, Schedule
from hipopt.judge.execution import Arrays, Runner
from hipopt.judge.outputs import are_written
from hipopt.judge.terms import equal_terms
from hipopt.judge.tolerance import Floats, Spread, is_whole
from hipopt.records import Workload

ROUNDINGS: tuple[Rounding, ...] = ("up", "down", "zero")

_PERTURBATIONS = 2
"""Ways in which inputs are off: a sum may stay as it is by luck."""
_NEAR, _FAR = 1, 4
"""How far they are, the same way both times: see `_moved_by_inputs`."""
_UNITS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""In the last place."""


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
    if _is_exact(nearest, rounding):
        inputs: list[Floats] = [np.zeros(array.shape) for array in nearest]
    else:
        inputs = _moved_by_inputs(runner, workload, before, nearest)
    terms = equal_terms(runner, workload, before, nearest, inputs)
    return [Spread(*moved) for moved in zip(rounding, order, inputs, terms, strict=True)]


def _is_exact(nearest: Arrays, rounding: list[Floats]) -> bool:
    """Whether all floats are such as have no rounding error in any order."""
    floats = (array for array in nearest if array.dtype.kind not in "iub")
    whole = all(bool(is_whole(array.astype(np.float64)).all()) for array in floats)
    return whole and not any(moved.any() for moved in rounding)


def _moved_by_inputs(
    runner: Runner, workload: Workload, before: Arrays, nearest: Arrays
) -> list[Floats]:
    """How far each element moves where every input is off by about one unit in its last place.

    Inputs are off by a few units, and by four times as many the same way; a third of what lies
    between the results is what one unit does. A comparison that an input just meets comes out the
    same both times, so that its step, which no honest candidate is granted, is not in it. Units
    are those of the type that honest code computes in: double where it is given or asked for, else
    float. Inputs that are all of narrower types can only be off by more, and results are taken to
    move in proportion. 0 where the reference does not bear it.
    """
    furthest: list[Floats] = [np.zeros(array.shape) for array in nearest]
    written = are_written(before, nearest)
    inputs, results = _units(before, written, False), _units(before, written, True)
    if not inputs and not results:
        return furthest
    unit = min(_UNITS["float32"], *inputs, *results)
    step = max(unit, min(inputs or results))
    for number in range(_PERTURBATIONS):
        near, far = (
            runner.run(workload, _off(workload, before, step, number, how_far))
            for how_far in (_NEAR, _FAR)
        )
        if isinstance(near, Fault) or isinstance(far, Fault):
            return [np.zeros(array.shape) for array in nearest]
        for index, (n, f) in enumerate(zip(near, far, strict=True)):
            moved = _gap(n, f) * (unit / step / (_FAR - _NEAR))
            moved[~np.isfinite(moved)] = 0.0
            furthest[index] = np.maximum(furthest[index], moved)
    return furthest


def _units(buffers: Arrays, written: list[bool], of_results: bool) -> list[float]:
    """Of the float buffers that are written, or of those that are not."""
    names = [a.dtype.name for a, was in zip(buffers, written, strict=True) if was == of_results]
    return [_UNITS[name] for name in names if name in _UNITS]


def _off(workload: Workload, before: Arrays, step: float, number: int, how_far: int) -> Arrays:
    """The inputs of a type that fine, each nearer to zero by one step or by three, times `how_far`.

    So they stay in a range that holds zero. Sorted ones stay as they are, or they would not be.
    """
    off = []
    for index, (buffer, array) in enumerate(zip(workload.buffers, before, strict=True)):
        if _UNITS.get(array.dtype.name, np.inf) > step or buffer.fill == "sorted":
            off.append(array)
            continue
        steps = np.random.default_rng([number, index]).choice([1.0, 3.0], array.shape)
        moved = array.astype(np.float64) * (1.0 - how_far * step * steps)
        off.append(moved.astype(array.dtype))
    return off


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
