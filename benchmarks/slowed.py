"""Kernels whose cost is known by construction: a loop over units of work, and nothing else much.

What they write does not depend on how much work they did, as the compiler can't know.
"""

from __future__ import annotations

from hipopt.records import Workload
from hipopt.source.capsule import Capsule
from hipopt.source.slice import slice_kernel

BLOCKS, THREADS = 16, 128
LENGTH = BLOCKS * THREADS

WORK = {
    "integers": (4, "h = (h ^ (h >> 15)) * 0x2c1b3c6du + k;"),
    "floats": (4, "s = fmaf(s, 0.9990234f, x[i]);"),
    "divisions": (2, "s = 1.0f / (s + 1.5f);"),
    "exponentials": (1, "s += expf(-s * s);"),
    "gathers": (4, "s += x[(i + 97u * k) % n];"),
    "barriers": (
        1,
        "tile[threadIdx.x] = s; __syncthreads(); s += tile[(threadIdx.x + 1) % 128];"
        " __syncthreads(); s *= 0.5f;",
    ),
    "shuffles": (1, "s = 0.5f * (s + __shfl_down(s, 1));"),
    "roots": (2, "s = sqrtf(s + 1.5f);"),
}
"""For each kind: how often a unit does the work, and the work, on `s` or `h`, as `k` counts."""


def slowed_kernel(kind: str, units: int) -> Capsule:
    """The kernel that does `units` units of that kind of work in each thread."""
    times, work = WORK[kind]
    source = f"""__global__ void work(const float* x, float* y, unsigned n) {{
    __shared__ float tile[{THREADS}];
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    tile[threadIdx.x] = 0.0f;
    __syncthreads();
    float s = x[i];
    unsigned h = __float_as_uint(s) | 1u;
    for (unsigned k = 0; k < {units * times}u; ++k) {{ {work} }}
    y[i] = 2.0f * x[i] + (s == 0.7654321f || h == 7654321u ? 1.0f : 3.0f);
}}
"""
    capsule = slice_kernel(source, "work")
    assert isinstance(capsule, Capsule)
    return capsule


def slowed_workload(kind: str) -> Workload:
    """One launch of a kernel of that kind."""
    assert kind in WORK
    return Workload.from_json(
        {
            "grid": [BLOCKS],
            "block": [THREADS],
            "args": [
                {"name": "x", "buffer": "float32", "length": LENGTH, "fill": "uniform"},
                {"name": "y", "buffer": "float32", "length": LENGTH},
                {"name": "n", "scalar": "uint32", "value": LENGTH},
            ],
        }
    )
