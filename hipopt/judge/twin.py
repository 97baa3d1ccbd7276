"""The reference a second time: the same kernel, built so that it lies elsewhere in its program."""

from __future__ import annotations

import msgspec

from hipopt.device.interface import CodeObject, CompileFailure, Device
from hipopt.source.capsule import Capsule

_TAIL = """
__device__ __attribute__((used, noinline)) int hipopt_twin_tail(int x) {
    volatile int kept = x;
    kept += 17;
    kept *= 3;
    return kept;
}
"""


def build_twin(
    device: Device, reference: Capsule, template: tuple[str, ...], timeout_s: float
) -> CodeObject | None:
    """The reference with a function behind it that nobody calls; None where it doesn't compile.

    Equal code in another place: what the two differ by in time is noise, of the machine and of
    the compiler's layout.
    """
    moved = msgspec.structs.replace(reference, source=reference.source + _TAIL)
    built = device.compile(moved, template, timeout_s)
    return None if isinstance(built, CompileFailure) else built
