// HIP's device side in CUDA's words, as far as kernels use it. Waves have 32 lanes here: a kernel that
// hard-codes 64 is wrong on such a GPU.
#ifndef HIPOPT_NVIDIA_HIP_RUNTIME_H
#define HIPOPT_NVIDIA_HIP_RUNTIME_H

#include <cuda_runtime.h>

#include <cfloat>
#include <climits>
#include <cmath>
#include <cstddef>
#include <cstdint>

#define HIP_DYNAMIC_SHARED(type, name) extern __shared__ type name[];
#define HIP_KERNEL_NAME(...) __VA_ARGS__

// CUDA 9 took away the shuffles and votes that name no lanes; HIP has them, for all lanes of a wave.
#define HIPOPT_ALL_LANES 0xffffffffu
template <typename T>
__device__ inline T __shfl(T value, int lane, int width = warpSize) {
    return __shfl_sync(HIPOPT_ALL_LANES, value, lane, width);
}
template <typename T>
__device__ inline T __shfl_up(T value, unsigned by, int width = warpSize) {
    return __shfl_up_sync(HIPOPT_ALL_LANES, value, by, width);
}
template <typename T>
__device__ inline T __shfl_down(T value, unsigned by, int width = warpSize) {
    return __shfl_down_sync(HIPOPT_ALL_LANES, value, by, width);
}
template <typename T>
__device__ inline T __shfl_xor(T value, int mask, int width = warpSize) {
    return __shfl_xor_sync(HIPOPT_ALL_LANES, value, mask, width);
}
// CUDA declares these three all the same, so ours have other names.
__device__ inline unsigned long long hipopt_ballot(int predicate) {
    return __ballot_sync(HIPOPT_ALL_LANES, predicate);
}
#define __ballot(predicate) hipopt_ballot(predicate)
#define __any(predicate) __any_sync(HIPOPT_ALL_LANES, predicate)
#define __all(predicate) __all_sync(HIPOPT_ALL_LANES, predicate)

#endif
