#include <torch/extension.h>
#include <hip/hip_runtime.h>
#include <math.h>

#define SQRT_2_OVER_PI 0.7978845608028654

/* The tanh form of GELU:
 *     0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))
 */
__global__ void gelu_tanh_kernel(const float* __restrict__ x, float* __restrict__ y, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    y[i] = 0.5 * x[i] * (1.0 + tanh(SQRT_2_OVER_PI * (x[i] + 0.044715 * pow(x[i], 3.0))));
}

torch::Tensor forward(torch::Tensor x) {
    TORCH_CHECK(x.is_cuda(), "x must live on the GPU");
    TORCH_CHECK(x.is_contiguous(), "x must be contiguous");
    auto y = torch::empty_like(x);
    const int n = static_cast<int>(x.numel());
    constexpr int kThreads = 256;
    hipLaunchKernelGGL(gelu_tanh_kernel, dim3((n + kThreads - 1) / kThreads), dim3(kThreads), 0, 0,
                       x.data_ptr<float>(), y.data_ptr<float>(), n);
    return y;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.def("forward", &forward, "GELU (tanh form)");
}
