"""The reference a second time: the same kernel, built so that it lies elsewhere in its program."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from hipopt.device.interface import CompileFailure, Device
from hipopt.judge.build import Template
from hipopt.judge.options import Codes
from hipopt.source.capsule import Capsule

_TAIL = """
__device__ __attribute__((used, noinline)) int hipopt_twin_tail(int x) {
    volatile int kept = x;
    kept += 17;
    kept *= 3;
    return kept;
}
"""


def build_twins(
    device: Device, reference: Capsule, templates: Iterable[Template], timeout_s: float
) -> Codes:
    """The reference with a function behind it that nobody calls, by template arguments.

    Equal code in another place: what the two differ by in time is noise, of the machine and of
    the compiler's layout. What doesn't compile so is left out.
    """
    moved = msgspec.structs.replace(reference, source=reference.source + _TAIL)
    built = {t: device.compile(moved, t, timeout_s) for t in dict.fromkeys(templates)}
    return {t: code for t, code in built.items() if not isinstance(code, CompileFailure)}
