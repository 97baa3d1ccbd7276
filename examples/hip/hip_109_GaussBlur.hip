#include <hip/hip_runtime.h>

#define RADIUS 2

__device__ __forceinline__ int clamp_to(int v, int limit) {
    return v < 0 ? 0 : (v >= limit ? limit - 1 : v);
}

__device__ float gauss(int dx, int dy, float sigma) {
    return expf(-(dx * dx + dy * dy) / (2.0f * sigma * sigma));
}

// 5x5 Gaussian blur with clamped borders.
__global__ void gauss_blur(const float* src, float* dst, int width, int height, float sigma) {
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;

    float sum = 0.0f;
    float weight = 0.0f;
    for (int dx = -RADIUS; dx <= RADIUS; ++dx) {
        for (int dy = -RADIUS; dy <= RADIUS; ++dy) {
            sum += gauss(dx, dy, sigma) * src[clamp_to(y + dy, height) * width + clamp_to(x + dx, width)];
            weight += gauss(dx, dy, sigma);
        }
    }
    dst[y * width + x] = sum / weight;
}
