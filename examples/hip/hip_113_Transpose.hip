#include <hip/hip_runtime.h>

#include <cstdio>
#include <vector>

// out[c][r] = in[r][c] for a matrix of any shape.
__global__ void transpose_naive(const float* in, float* out, long long rows, long long cols) {
    const long long total = rows * cols;
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < total; i += step) {
        const long long r = i / cols;
        const long long c = i % cols;
        out[c * rows + r] = in[r * cols + c];
    }
}

int main() {
    const long long rows = 300, cols = 500;
    std::vector<float> in(rows * cols), out(rows * cols);
    for (size_t i = 0; i < in.size(); ++i) in[i] = (float)i;

    float *d_in, *d_out;
    if (hipMalloc((void**)&d_in, in.size() * sizeof(float)) != hipSuccess ||
        hipMalloc((void**)&d_out, out.size() * sizeof(float)) != hipSuccess) {
        printf("no memory on the device\n");
        return 1;
    }
    (void)hipMemcpy(d_in, in.data(), in.size() * sizeof(float), hipMemcpyHostToDevice);
    hipLaunchKernelGGL(transpose_naive, dim3(64), dim3(256), 0, 0, d_in, d_out, rows, cols);
    (void)hipMemcpy(out.data(), d_out, out.size() * sizeof(float), hipMemcpyDeviceToHost);

    int wrong = 0;
    for (long long r = 0; r < rows; ++r)
        for (long long c = 0; c < cols; ++c)
            if (out[c * rows + r] != in[r * cols + c]) ++wrong;
    printf(wrong ? "FAILED: %d wrong\n" : "PASSED\n", wrong);
    (void)hipFree(d_in);
    (void)hipFree(d_out);
    return wrong != 0;
}
