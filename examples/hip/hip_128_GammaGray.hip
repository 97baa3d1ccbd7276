#include <hip/hip_runtime.h>

/* An older version, kept for its formula:
 *   __global__ void gamma_gray(const unsigned char* rgb, float* gray, int pixels) {
 *       gray[i] = 0.3f * r + 0.59f * g + 0.11f * b;
 *   }
 */
namespace imaging {

constexpr float kRed = 0.2126f, kGreen = 0.7152f, kBlue = 0.0722f;

struct Pixel {
    unsigned char r, g, b;
};

__device__ inline float linear(float level) { return powf(level, 2.2f); }
__device__ inline float linear(unsigned char level) { return linear(level / 255.0f); }
__device__ inline float luma(Pixel p) {
    return kRed * linear(p.r) + kGreen * linear(p.g) + kBlue * linear(p.b);
}

// Linear light of sRGB-like pixels, three bytes each.
__global__ void gamma_gray(const unsigned char* rgb, float* gray, int pixels) {
    const Pixel* pixel = reinterpret_cast<const Pixel*>(rgb);
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < pixels; i += blockDim.x * gridDim.x) {
        gray[i] = luma(pixel[i]);
    }
}

}  // namespace imaging

void to_gray(const unsigned char* rgb, float* gray, int pixels, hipStream_t stream) {
    imaging::gamma_gray<<<16, 256, 0, stream>>>(rgb, gray, pixels);
}
