#include <hip/hip_runtime.h>

#define TAPS 9

// A low pass; the taps add up to 1.
__constant__ float kTaps[TAPS] = {0.02f, 0.06f, 0.12f, 0.18f, 0.24f, 0.18f, 0.12f, 0.06f, 0.02f};

// y[i] = sum of x[i + t - 4] * tap[t], the signal being a ring.
__global__ void circular_fir(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        y[i] = 0.0f;
        for (int t = 0; t < TAPS; ++t) {
            y[i] += x[(i + t - TAPS / 2 + n) % n] * kTaps[t];
        }
    }
}
