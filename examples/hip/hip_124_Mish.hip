#include <torch/extension.h>
#include <hip/hip_runtime.h>

typedef float scalar_t;

__device__ double softplus(double v) {
    return v > 20.0 ? v : log(1.0 + exp(v));
}

// mish(x) = x * tanh(softplus(x)), in place
__global__ void mish_inplace(scalar_t* data, int n) {
    const int stride = blockDim.x * gridDim.x;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {
        data[i] = data[i] * tanh(softplus(data[i]));
    }
}

torch::Tensor forward(torch::Tensor x) {
    auto y = x.clone();
    hipLaunchKernelGGL(mish_inplace, dim3(64), dim3(256), 0, 0, y.data_ptr<scalar_t>(), (int)y.numel());
    return y;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.def("forward", &forward, "Mish");
}
