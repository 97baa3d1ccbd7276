"""Template arguments that a kernel may be tried with."""

from __future__ import annotations

from hipopt.source.slice import slice_kernel
from hipopt.source.usage import Body
from hipopt.workload.templates import template_options


def test_arguments_whose_shared_arrays_exceed_lds_come_last() -> None:
    """A square of a block's side fits into 64 KiB up to a side of 128."""
    capsule = slice_kernel(
        """
template <int BLOCK> __global__ void k(const float* x, float* y) {
  __shared__ float tile[BLOCK * BLOCK];
  tile[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = tile[BLOCK * BLOCK - 1 - threadIdx.x];
}""",
        "k",
    )
    options = template_options(Body(capsule))
    assert options[-1] == ("256",)
    assert ("32",) in options
