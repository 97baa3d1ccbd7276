#include <hip/hip_runtime.h>

using Count = unsigned int;

// Counts values into bins of unequal width. `edges` holds bins + 1 ascending values; bin b takes
// edges[b] <= v < edges[b + 1]; what lies outside is not counted.
__global__ void histogram_edges(const float* values, const float* edges, Count* counts, int n, int bins) {
    const int stride = gridDim.x * blockDim.x;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {
        for (int b = 0; b < bins; ++b) {
            if (values[i] >= edges[b] && values[i] < edges[b + 1]) {
                atomicAdd(&counts[b], 1u);
            }
        }
    }
}
