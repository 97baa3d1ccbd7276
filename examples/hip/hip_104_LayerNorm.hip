#include <torch/extension.h>
#include <hip/hip_runtime.h>

constexpr int kBlock = 128;

// Sum of v over the block; every thread gets it.
__device__ float block_sum(float v, float* scratch) {
    scratch[threadIdx.x] = v;
    __syncthreads();
    for (int offset = kBlock / 2; offset > 0; offset /= 2) {
        if (threadIdx.x < offset) {
            scratch[threadIdx.x] += scratch[threadIdx.x + offset];
        }
        __syncthreads();
    }
    const float total = scratch[0];
    __syncthreads();
    return total;
}

__global__ void layer_norm_kernel(const float* x, const float* gamma, const float* beta, float* y,
                                  int hidden, float eps) {
    __shared__ float scratch[kBlock];
    const float* row = x + blockIdx.x * hidden;

    float partial = 0.0f;
    for (int i = threadIdx.x; i < hidden; i += blockDim.x) {
        partial += row[i];
    }
    const float mean = block_sum(partial, scratch) / hidden;

    partial = 0.0f;
    for (int i = threadIdx.x; i < hidden; i += blockDim.x) {
        partial += pow(row[i] - mean, 2.0);
    }
    const float variance = block_sum(partial, scratch) / hidden;

    for (int i = threadIdx.x; i < hidden; i += blockDim.x) {
        y[blockIdx.x * hidden + i] = (row[i] - mean) / sqrt(variance + eps) * gamma[i] + beta[i];
    }
}

torch::Tensor forward(torch::Tensor x, torch::Tensor gamma, torch::Tensor beta, double eps) {
    const int hidden = x.size(-1);
    const int rows = x.numel() / hidden;
    auto y = torch::empty_like(x);
    layer_norm_kernel<<<rows, kBlock>>>(x.data_ptr<float>(), gamma.data_ptr<float>(),
                                        beta.data_ptr<float>(), y.data_ptr<float>(), hidden,
                                        static_cast<float>(eps));
    return y;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.def("forward", &forward, "layer normalisation");
}
