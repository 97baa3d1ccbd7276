#include <hip/hip_runtime.h>

#include <cstdio>
#include <vector>

// Transposes every image: NCHW in, NHWC out.
__global__ void permute_nhwc(const float* in, float* out, long long images, long long channels,
                             long long height, long long width) {
    const long long total = images * channels * height * width;
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < total; i += step) {
        const long long w = i % width;
        const long long h = (i / width) % height;
        const long long c = (i / (width * height)) % channels;
        const long long n = i / (width * height * channels);
        out[((n * height + h) * width + w) * channels + c] = in[i];
    }
}

int main() {
    const long long images = 2, channels = 3, height = 30, width = 50;
    const long long total = images * channels * height * width;
    std::vector<float> in(total), out(total);
    for (long long i = 0; i < total; ++i) in[i] = (float)i;

    float *d_in, *d_out;
    if (hipMalloc((void**)&d_in, total * sizeof(float)) != hipSuccess ||
        hipMalloc((void**)&d_out, total * sizeof(float)) != hipSuccess) {
        printf("no memory on the device\n");
        return 1;
    }
    (void)hipMemcpy(d_in, in.data(), total * sizeof(float), hipMemcpyHostToDevice);
    hipLaunchKernelGGL(permute_nhwc, dim3(16), dim3(256), 0, 0, d_in, d_out, images, channels, height, width);
    (void)hipMemcpy(out.data(), d_out, total * sizeof(float), hipMemcpyDeviceToHost);

    int wrong = 0;
    const long long plane = height * width;
    for (long long n = 0; n < images; ++n)
        for (long long c = 0; c < channels; ++c)
            for (long long p = 0; p < plane; ++p)
                if (out[(n * plane + p) * channels + c] != in[(n * channels + c) * plane + p]) ++wrong;
    printf(wrong ? "FAILED: %d wrong\n" : "PASSED\n", wrong);
    (void)hipFree(d_in);
    (void)hipFree(d_out);
    return wrong != 0;
}
