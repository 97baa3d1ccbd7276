"""The scrubbing kernel: nothing in LDS outlives a launch.

LDS is not cleared between launches, so a kernel could leave its results there and find them when it
is launched again on the same data, which is what timing does. Blocks that take all the LDS that a
block can have run one at a time on a compute unit; there are enough of them for all units.
"""

from __future__ import annotations

from typing import Any

from hipopt.device.gpu.arguments import pack
from hipopt.device.gpu.gpu import Gpu, GpuCode
from hipopt.records import Scalar
from hipopt.source.capsule import Capsule

KERNEL = "hipopt_scrub"
SOURCE = """#include <hip/hip_runtime.h>
__global__ void hipopt_scrub(unsigned words) {
    extern __shared__ unsigned lds[];
    volatile unsigned* all = lds;
    for (unsigned i = threadIdx.x; i < words; i += blockDim.x) all[i] = 0x7f7fdeadu;
}
"""
_BLOCK = 256
_BLOCKS_PER_UNIT = 16
_WORD_BYTES = 4


def capsule() -> Capsule:
    """The kernel's source, to be compiled as any other's."""
    return Capsule(source=SOURCE, kernel=KERNEL, parameters=(), kernel_text=SOURCE)


def request(gpu: Gpu, code: GpuCode) -> dict[str, Any]:
    """What a child needs to run it before each launch; `arguments` are bytes."""
    words = Scalar(name="words", scalar="uint32", value=gpu.lds_bytes // _WORD_BYTES)
    return {
        "image": str(code.path),
        "kernel": code.kernel,
        "grid": (gpu.compute_units * _BLOCKS_PER_UNIT, 1, 1),
        "block": (_BLOCK, 1, 1),
        "lds_bytes": gpu.lds_bytes,
        "arguments": pack(code.layout, (words,), ()).hex(),
    }
