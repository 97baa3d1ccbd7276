#include <hip/hip_runtime.h>
#include <hip/hip_fp16.h>

// y = c0 + c1 x + c2 x^2 + c3 x^3 + c4 x^4 on half precision data, worked out in float.
__global__ void half_poly(const __half* x, __half* y, const float* coeff, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        float sum = 0.0f;
        for (int p = 0; p <= 4; ++p) {
            sum += coeff[p] * powf(__half2float(x[i]), (float)p);
        }
        y[i] = __float2half(sum);
    }
}
