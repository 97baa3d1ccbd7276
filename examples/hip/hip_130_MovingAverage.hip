#include <hip/hip_runtime.h>

// Mean of the 2 * radius + 1 neighbours, zeros beyond the ends. Launch with
// (blockDim.x + 2 * radius) * sizeof(float) bytes of dynamic LDS:
//     moving_average<<<blocks, 256, (256 + 2 * radius) * sizeof(float)>>>(in, out, n, radius);
__global__ void moving_average(const float* in, float* out, int n, int radius) {
    extern __shared__ float cache[];
    const int start = blockIdx.x * blockDim.x - radius;
    for (int k = threadIdx.x; k < blockDim.x + 2 * radius; k += blockDim.x) {
        cache[k] = (start + k >= 0 && start + k < n) ? in[start + k] : 0.0f;
    }
    __syncthreads();

    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        float mean = 0.0;
        for (int k = -radius; k <= radius; ++k) {
            mean += cache[threadIdx.x + radius + k] / (2.0 * radius + 1.0);
        }
        out[i] = mean;
    }
}
