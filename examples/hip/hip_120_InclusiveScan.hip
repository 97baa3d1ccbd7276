#include <hip/hip_runtime.h>

#define SCAN_BLOCK 256

// Inclusive prefix sum of each block's 256 elements (Hillis and Steele); totals[b] is block b's sum.
__global__ void inclusive_scan(const int* in, int* out, int* totals, int n) {
    __shared__ int temp[SCAN_BLOCK];
    int tid = threadIdx.x;
    int i = blockIdx.x * SCAN_BLOCK + tid;
    temp[tid] = (i < n) ? in[i] : 0;
    __syncthreads();

    for (int offset = 1; offset < SCAN_BLOCK; offset *= 2) {
        int add = 0;
        if (tid >= offset) add = temp[tid - offset];
        __syncthreads();
        temp[tid] += add;
        __syncthreads();
    }

    if (i < n) out[i] = temp[tid];
    if (tid == SCAN_BLOCK - 1) totals[blockIdx.x] = temp[tid];
}
