"""What torch's headers give to device code, in a few lines of plain HIP.

A torch extension's kernel often uses a name or two from ATen or c10. A capsule gets just those that
its kernel uses, instead of the headers.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from hipopt.source.parse import parse
from hipopt.source.piece import Piece

_TEXT = """\
#define C10_HOST_DEVICE __host__ __device__
#define C10_DEVICE __device__
#define C10_HOST __host__
#define C10_RESTRICT __restrict__
#define C10_WARP_SIZE warpSize
#define C10_LAUNCH_BOUNDS_0 __launch_bounds__(256, 4)
#define C10_LAUNCH_BOUNDS_1(threads) __launch_bounds__(threads)
#define C10_LAUNCH_BOUNDS_2(threads, blocks) __launch_bounds__(threads, blocks)
#define CUDA_KERNEL_LOOP_TYPE(i, n, index_type) \\
  for (index_type i = blockIdx.x * static_cast<index_type>(blockDim.x) + threadIdx.x; i < (n); \\
       i += static_cast<index_type>(gridDim.x) * blockDim.x)
#define CUDA_KERNEL_LOOP(i, n) CUDA_KERNEL_LOOP_TYPE(i, n, int)
#define CUDA_1D_KERNEL_LOOP(i, n) CUDA_KERNEL_LOOP_TYPE(i, n, int)
namespace c10 {
using Half = __half;
using BFloat16 = __hip_bfloat16;
}
namespace at {
using Half = __half;
using BFloat16 = __hip_bfloat16;
template <typename T> struct opmath { using type = T; };
template <> struct opmath<__half> { using type = float; };
template <> struct opmath<__hip_bfloat16> { using type = float; };
template <typename T> using opmath_type = typename opmath<T>::type;
template <typename T, bool on_device = true> using acc_type = typename opmath<T>::type;
}
template <typename T> __device__ inline T gpuAtomicAdd(T* address, T value) {
  return atomicAdd(address, value);
}
template <typename T> __device__ inline void gpuAtomicAddNoReturn(T* address, T value) {
  atomicAdd(address, value);
}
"""


@cache
def _pieces() -> tuple[Piece, ...]:
    return parse(_TEXT, "torch").pieces


def shims(defined: Collection[str]) -> list[Piece]:
    """The stand-ins whose names are not among those `defined` already."""
    return [p for p in _pieces() if set(p.names).isdisjoint(defined)]
