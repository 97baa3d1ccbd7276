#include <hip/hip_runtime.h>

// Sum over a wavefront; lane 0 holds it.
__device__ float wave_sum(float v) {
    for (int offset = warpSize / 2; offset > 0; offset >>= 1) {
        v += __shfl_down(v, offset);
    }
    return v;
}

// Squared length of every row; one wavefront a row, `blockDim.x == warpSize`.
__global__ void row_length2(const float* __restrict__ rows, float* __restrict__ length2, int cols) {
    const float* row = rows + (size_t)blockIdx.x * cols;
    const int padded = (cols + warpSize - 1) / warpSize * warpSize;
    float total = 0.0f;
    for (int c = threadIdx.x; c < padded; c += warpSize) {
        const float v = c < cols ? row[c] : 0.0f;
        total += wave_sum(v * v);  // only lane 0's total counts
    }
    if (threadIdx.x == 0) length2[blockIdx.x] = total;
}
