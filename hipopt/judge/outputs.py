"""Which buffers the reference writes without reading what they held: those may be poisoned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipopt.device.interface import Fault
from hipopt.judge.execution import Arrays, Runner
from hipopt.records import Workload
from hipopt.workload.fill import POISONS, fill_workload, poisoned


def find_outputs(
    runner: Runner, workload: Workload, const: Sequence[bool], seed: int
) -> tuple[bool, ...] | Fault:
    """For each buffer whether it is an output: nothing but poison itself comes out otherwise.

    Poison is put into the writable buffers, all at once and, if that changes the results, into one
    at a time.

    Args:
        runner: runs the reference.
        workload: the launch.
        const: for each buffer, whether the kernel takes it as a pointer to const.
        seed: of the data, which are of the ordinary family.
    """
    filled = fill_workload(workload, seed, "ordinary")
    plain = runner.run(workload, filled)
    if isinstance(plain, Fault):
        return plain
    writable = [not fixed for fixed in const]
    singles = ([i == j for j in range(len(const))] for i, free in enumerate(writable) if free)
    outputs = [False] * len(const)
    for trial in (writable, *singles):
        unread = _reads_no_poison(runner, workload, filled, plain, trial)
        outputs = [a or (b and unread) for a, b in zip(outputs, trial, strict=True)]
        if unread and trial is writable:
            break
    return tuple(
        output and written
        for output, written in zip(outputs, are_written(filled, plain), strict=True)
    )


def are_written(before: Arrays, after: Arrays) -> list[bool]:
    """For each buffer whether a bit of it changed."""
    return [not np.array_equal(bits(b), bits(a)) for b, a in zip(before, after, strict=True)]


def bits(array: NDArray[Any]) -> NDArray[Any]:
    """The array as unsigned integers of its elements' size."""
    return array.view(np.dtype(f"u{array.dtype.itemsize}"))


def _reads_no_poison(
    runner: Runner, workload: Workload, filled: Arrays, plain: Arrays, trial: list[bool]
) -> bool:
    before = [
        poisoned(array, POISONS[0]) if poison else array
        for array, poison in zip(filled, trial, strict=True)
    ]
    after = runner.run(workload, before)
    if isinstance(after, Fault):
        return False
    return all(
        bool(np.all((bits(p) == bits(a)) | ((bits(a) == bits(b)) & (bits(p) == bits(f)))))
        for f, b, p, a in zip(filled, before, plain, after, strict=True)
    )
