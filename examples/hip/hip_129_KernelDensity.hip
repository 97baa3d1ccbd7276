#include <torch/extension.h>
#include <hip/hip_runtime.h>

namespace {

constexpr int kDim = 3;

__device__ float distance(const float* a, const float* b) {
    float sum = 0.0f;
    for (int d = 0; d < kDim; ++d) {
        sum += powf(a[d] - b[d], 2.0f);
    }
    return sqrtf(sum);
}

}  // namespace

// Gaussian kernel density of a cloud of samples at every query point, not normalised.
__global__ void kernel_density(const float* points, const float* samples, float* density, int n,
                               int count, float bandwidth) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= n) return;
    density[p] = 0.0f;
    for (int s = 0; s < count; ++s) {
        density[p] += exp(-0.5 * pow(distance(points + p * kDim, samples + s * kDim) / bandwidth, 2.0)) / count;
    }
}

torch::Tensor forward(torch::Tensor points, torch::Tensor samples, double bandwidth) {
    TORCH_CHECK(points.size(1) == kDim && samples.size(1) == kDim, "points[n, 3], samples[count, 3]");
    const int n = points.size(0), count = samples.size(0);
    auto density = torch::empty({n}, points.options());
    kernel_density<<<(n + 127) / 128, 128>>>(points.data_ptr<float>(), samples.data_ptr<float>(),
                                             density.data_ptr<float>(), n, count, (float)bandwidth);
    return density;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.def("forward", &forward, "kernel density");
}
