"""What a fault under the microscope says about how a kernel has to be launched."""

from __future__ import annotations

import re

from hipopt.workload.plan import MAX_LDS_BYTES, Plan

_THREAD = re.compile(r"thread \((\d+),(\d+),(\d+)\)")
_LEAST_SIDE = 4
_ARRAY = re.compile(r"LDS|end of an array")


def mend(plan: Plan, reason: str) -> Plan | None:
    """The plan as the fault asks for it; None where it asks for nothing.

    Behind the end of dynamic LDS: with all the LDS there is. Behind the end of another array, by a
    thread other than the first: with so many threads that this one does not exist; by the first:
    with half as many. Not finished in time: with one block.
    """
    if "did not finish" in reason:
        return plan._replace(grid="one") if plan.grid != "one" else None
    if "dynamic LDS" in reason:
        more = plan.lds_bytes is None
        return plan._replace(lds_bytes=MAX_LDS_BYTES) if more else None
    thread = _THREAD.search(reason)
    if thread is None or not _ARRAY.search(reason):
        return None
    for axis, index in enumerate(map(int, thread.groups())):
        if 0 < index < plan.block[axis]:
            x, y, z = (index if a == axis else side for a, side in enumerate(plan.block))
            return plan._replace(block=(x, y, z), grid="cover")
    longest = max(plan.block)
    if longest > _LEAST_SIDE and not any(map(int, thread.groups())):
        x, y, z = (side // 2 if side == longest else side for side in plan.block)
        return plan._replace(block=(x, y, z), grid="cover")
    return None
