#include <torch/extension.h>
#include <hip/hip_runtime.h>

#define EULER 2.718281828459045

__global__ void sigmoid_kernel(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        y[i] = 1.0 / (1.0 + pow(EULER, -x[i]));
    }
}

__global__ void swish_kernel(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        y[i] = x[i] * (1.0 / (1.0 + pow(EULER, -x[i])));
    }
}

static torch::Tensor apply(torch::Tensor x, bool swish) {
    auto y = torch::empty_like(x);
    int n = x.numel();
    int blocks = (n + 255) / 256;
    if (swish) {
        swish_kernel<<<blocks, 256>>>(x.data_ptr<float>(), y.data_ptr<float>(), n);
    } else {
        sigmoid_kernel<<<blocks, 256>>>(x.data_ptr<float>(), y.data_ptr<float>(), n);
    }
    return y;
}

torch::Tensor sigmoid(torch::Tensor x) { return apply(x, false); }
torch::Tensor swish(torch::Tensor x) { return apply(x, true); }

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.def("sigmoid", &sigmoid);
    m.def("swish", &swish);
}
