"""What a fault under the microscope says about how a kernel has to be launched."""

from __future__ import annotations

import re
from collections.abc import Collection

from hipopt.workload.plan import MAX_LDS_BYTES, Plan
from hipopt.workload.sizes import FACTORS

_THREAD = re.compile(r"thread \((\d+),(\d+),(\d+)\)")
_LEAST_SIDE = 4
_ARRAY = re.compile(r"LDS|end of an array")
_TOO_FAR = re.compile(
    r"did not finish|takes long|bytes behind the end of argument|it reaches \d+ bytes into"
)
_LONG = frozenset({"X", "S", "XY", "XYZ", "R", "TX"})
_EXTENTS = frozenset({"X", "Y", "Z", "S", "XY", "XYZ", "K", "R", "TX", "TY"})


def can_shrink(plan: Plan) -> bool:
    """Whether it has several extents, which are not all a few."""
    return sum(role in _EXTENTS for role in plan.roles.values()) > 1


def smaller(plan: Plan, reason: str) -> Plan | None:
    """The plan with a few for every extent, each another, where it ran too long or too far.

    The product of several extents may be what is looped over, or reached. None: nothing to mend.
    """
    names = [name for name, role in plan.roles.items() if role in _EXTENTS]
    if not can_shrink(plan) or not _TOO_FAR.search(reason):
        return None
    few = {name: f"F{at % FACTORS}" for at, name in enumerate(names)}
    return plan._replace(roles={**plan.roles, **few})


def compact(plan: Plan, free: Collection[str]) -> Plan | None:
    """The plan with short steps for long ones among the scalars `free` to be any.

    None: there are none.
    """
    short = {name: "K" for name in free if plan.roles.get(name) in _LONG}
    return plan._replace(roles={**plan.roles, **short}) if short else None


def apart(plan: Plan, strides: Collection[str]) -> Plan | None:
    """The plan with rows far longer than any is wide, where two threads met in one place.

    A stride shorter than a row lets rows overlap. None: no scalar that is a stride is an extent.
    """
    wide = {name: "XY" for name in strides if plan.roles.get(name) in _EXTENTS - {"XY", "XYZ"}}
    return plan._replace(roles={**plan.roles, **wide}) if wide else None


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
