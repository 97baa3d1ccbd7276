#include <torch/extension.h>
#include <hip/hip_runtime.h>

#define THREADS 16
#define CEIL_DIV(a, b) (((a) + (b) - 1) / (b))
#define AT(matrix, row, col, ld) ((matrix)[(row) * (ld) + (col)])

// Attention scores: C[m, n] = A[m, k] * B[k, n] / sqrt(k)
__global__ void scaled_matmul(const float* A, const float* B, float* C, int m, int n, int k) {
    int row = blockIdx.y * blockDim.y + threadIdx.y;
    int col = blockIdx.x * blockDim.x + threadIdx.x;
    if (row < m && col < n) {
        AT(C, row, col, n) = 0;
        for (int i = 0; i < k; i++) {
            AT(C, row, col, n) += AT(A, row, i, k) * AT(B, i, col, n) / sqrt((double)k);
        }
    }
}

torch::Tensor scores(torch::Tensor a, torch::Tensor b) {
    TORCH_CHECK(a.size(1) == b.size(0), "inner sizes differ: a[m, k] * b[k, n]");
    const int m = a.size(0), k = a.size(1), n = b.size(1);
    auto c = torch::empty({m, n}, a.options());
    dim3 block(THREADS, THREADS);
    dim3 grid(CEIL_DIV(n, THREADS), CEIL_DIV(m, THREADS));
    scaled_matmul<<<grid, block>>>(a.data_ptr<float>(), b.data_ptr<float>(), c.data_ptr<float>(), m, n, k);
    return c;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.def("forward", &scores, "scaled matrix product");
}
