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

// Scores lose half of their weight every `half_life`; the best one left wins its slot:
// out[index[i]] = max(out[index[i]], score[i] * 0.5^(age[i] / half_life))
__global__ void scatter_max(const float* score, const float* age, const int* index, float* out,
                            float half_life, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) {
        atomic_max_float(&out[index[i]], score[i] * pow(0.5, age[i] / half_life));
    }
}
