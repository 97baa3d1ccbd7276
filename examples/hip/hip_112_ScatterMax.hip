#include <hip/hip_runtime.h>

// There is no atomicMax for floats everywhere, so swap in a loop.
__device__ void atomic_max_float(float* address, float value) {
    unsigned int* bits = (unsigned int*)address;
    unsigned int old = atomicAdd(bits, 0u);  // an atomic read
    unsigned int assumed;
    do {
        assumed = old;
        old = atomicCAS(bits, assumed, __float_as_uint(fmaxf(value, __uint_as_float(assumed))));
    } while (assumed != old);
}

// out[index[i]] = max(out[index[i]], src[i])
__global__ void scatter_max(const float* src, const int* index, float* out, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) {
        atomic_max_float(&out[index[i]], src[i]);
    }
}
