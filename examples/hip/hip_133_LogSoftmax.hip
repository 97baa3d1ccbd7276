#include <torch/extension.h>
#include <hip/hip_runtime.h>

// log softmax over classes, one thread a sample
__global__ void log_softmax_kernel(const float* logits, float* out, int samples, int classes) {
    const int s = blockIdx.x * blockDim.x + threadIdx.x;
    if (s >= samples) return;

    float biggest = logits[s * classes];
    for (int c = 1; c < classes; ++c) {
        if (logits[s * classes + c] > biggest) biggest = logits[s * classes + c];
    }
    double total = 0.0;
    for (int c = 0; c < classes; ++c) {
        total += exp((double)logits[s * classes + c] - biggest);
    }
    for (int c = 0; c < classes; ++c) {
        out[s * classes + c] = logits[s * classes + c] - biggest - log(total);
    }
}

torch::Tensor forward(torch::Tensor logits) {
    const int samples = logits.size(0);
    const int classes = logits.size(1);
    auto out = torch::empty_like(logits);
    const dim3 block(64);
    const dim3 grid((samples + block.x - 1) / block.x);
    log_softmax_kernel<<<grid, block>>>(logits.data_ptr<float>(), out.data_ptr<float>(), samples, classes);
    return out;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.def("forward", &forward, "log softmax");
}
