#include <torch/extension.h>
#include <hip/hip_runtime.h>
#include <float.h>

namespace {

__device__ float distance(const float* a, const float* b, int dim) {
    float sum = 0.0f;
    for (int d = 0; d < dim; ++d) {
        sum += powf(fabsf(a[d] - b[d]), 2.0f);
    }
    return sqrtf(sum);
}

}  // namespace

// Distance of every point to the centroid nearest to it.
__global__ void nearest_centroid(const float* points, const float* centroids, float* nearest, int n,
                                 int k, int dim) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= n) return;
    nearest[p] = FLT_MAX;
    for (int c = 0; c < k; ++c) {
        if (distance(points + p * dim, centroids + c * dim, dim) < nearest[p]) {
            nearest[p] = distance(points + p * dim, centroids + c * dim, dim);
        }
    }
}

torch::Tensor forward(torch::Tensor points, torch::Tensor centroids) {
    TORCH_CHECK(points.size(1) == centroids.size(1), "points[n, d], centroids[k, d]: d differs");
    const int n = points.size(0), k = centroids.size(0), dim = points.size(1);
    auto nearest = torch::empty({n}, points.options());
    nearest_centroid<<<(n + 127) / 128, 128>>>(points.data_ptr<float>(), centroids.data_ptr<float>(),
                                               nearest.data_ptr<float>(), n, k, dim);
    return nearest;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.def("forward", &forward, "distance to the nearest centroid");
}
