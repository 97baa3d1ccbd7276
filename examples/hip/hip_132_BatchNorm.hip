#include <torch/extension.h>
#include <hip/hip_runtime.h>

// Inference batch norm of an NCHW tensor: one block an image and channel.
__global__ void batch_norm_kernel(const float* x, const float* mean, const float* var, const float* gamma,
                                  const float* beta, float* y, int channels, int plane, double eps) {
    for (int p = threadIdx.x; p < plane; p += blockDim.x) {
        int i = blockIdx.x * plane + p;
        int c = (i / plane) % channels;
        y[i] = gamma[c] * (x[i] - mean[c]) / pow(var[c] + eps, 0.5) + beta[c];
    }
}

torch::Tensor forward(torch::Tensor x, torch::Tensor mean, torch::Tensor var, torch::Tensor gamma,
                      torch::Tensor beta, double eps) {
    const int channels = x.size(1);
    const int plane = x.size(2) * x.size(3);
    auto y = torch::empty_like(x);
    batch_norm_kernel<<<x.size(0) * channels, 256>>>(
        x.data_ptr<float>(), mean.data_ptr<float>(), var.data_ptr<float>(), gamma.data_ptr<float>(),
        beta.data_ptr<float>(), y.data_ptr<float>(), channels, plane, eps);
    return y;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.def("forward", &forward, "batch normalisation (inference)");
}
