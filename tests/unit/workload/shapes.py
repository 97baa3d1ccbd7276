"""Kernels of the shapes that launches are found for, each under the name of its shape."""

from __future__ import annotations

KERNELS: dict[str, str] = {
    "one_dimension": """
__global__ void k(const float* x, float* y, float a, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i] + y[i];
}""",
    "image": """
__global__ void k(const unsigned char* rgb, float* gray, int width, int height) {
  int x = blockIdx.x * blockDim.x + threadIdx.x;
  int y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x >= width || y >= height) return;
  const unsigned char* p = rgb + 3 * (y * width + x);
  gray[y * width + x] = 0.3f * p[0] + 0.6f * p[1] + 0.1f * p[2];
}""",
    "matmul": """
__global__ void k(const float* a, const float* b, float* c, int m, int n, int depth) {
  int row = blockIdx.y * blockDim.y + threadIdx.y, col = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= m || col >= n) return;
  float sum = 0;
  for (int i = 0; i < depth; ++i) sum += a[row * depth + i] * b[i * n + col];
  c[row * n + col] = sum;
}""",
    "transpose_with_tile": """
#define TILE 16
__global__ void k(const float* in, float* out, int width, int height) {
  __shared__ float tile[TILE][TILE + 1];
  int x = blockIdx.x * TILE + threadIdx.x, y = blockIdx.y * TILE + threadIdx.y;
  if (x < width && y < height) tile[threadIdx.y][threadIdx.x] = in[y * width + x];
  __syncthreads();
  x = blockIdx.y * TILE + threadIdx.x;
  y = blockIdx.x * TILE + threadIdx.y;
  if (x < height && y < width) out[y * height + x] = tile[threadIdx.x][threadIdx.y];
}""",
    "block_partials": """
#define BLOCK 128
__global__ void k(const float* in, float* partial, int n) {
  __shared__ float part[BLOCK];
  int i = blockIdx.x * BLOCK + threadIdx.x;
  part[threadIdx.x] = i < n ? in[i] : 0;
  __syncthreads();
  for (int s = BLOCK / 2; s > 0; s /= 2) {
    if (threadIdx.x < s) part[threadIdx.x] += part[threadIdx.x + s];
    __syncthreads();
  }
  if (threadIdx.x == 0) partial[blockIdx.x] = part[0];
}""",
    "csr_spmv": """
__global__ void k(const int* row_ptr, const int* col, const float* val, const float* x, float* y,
                  int rows) {
  int r = blockIdx.x * blockDim.x + threadIdx.x;
  if (r >= rows) return;
  float sum = 0;
  for (int j = row_ptr[r]; j < row_ptr[r + 1]; ++j) sum += val[j] * x[col[j]];
  y[r] = sum;
}""",
    "gather": """
__global__ void k(const float* table, const long* index, float* out, int n, int dim) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) for (int d = 0; d < dim; ++d) out[i * dim + d] = table[index[i] * dim + d];
}""",
    "histogram": """
__global__ void k(const int* data, unsigned* bins, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x)
    atomicAdd(&bins[data[i]], 1u);
}""",
    "stencil_with_halo": """
__global__ void k(const float* in, float* out, int nx, int ny) {
  int x = blockIdx.x * blockDim.x + threadIdx.x + 1, y = blockIdx.y * blockDim.y + threadIdx.y + 1;
  if (x >= nx - 1 || y >= ny - 1) return;
  int i = y * nx + x;
  out[i] = 0.25f * (in[i - 1] + in[i + 1] + in[i - nx] + in[i + nx]);
}""",
    "grid_stride_loop": """
__global__ void k(double* x, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x)
    x[i] = x[i] * x[i];
}""",
    "template_scalar_t": """
template <typename scalar_t>
__global__ void k(const scalar_t* __restrict__ in, scalar_t* __restrict__ out, size_t numel) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < numel) out[i] = in[i] > scalar_t(0) ? in[i] : in[i] * scalar_t(0.1);
}""",
    "dynamic_lds": """
__global__ void k(const float* in, float* out, int n) {
  extern __shared__ float line[];
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  line[threadIdx.x] = i < n ? in[i] : 0;
  __syncthreads();
  if (i < n) out[i] = line[blockDim.x - 1 - threadIdx.x] + in[i];
}""",
    "no_bounds_check": """
__global__ void k(const float* a, float* b) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  b[i] = 2.0f * a[i] + 1.0f;
}""",
    "row_softmax": """
__global__ void k(const float* in, float* out, int cols) {
  __shared__ float buf[64];
  const float* row = in + blockIdx.x * cols;
  float sum = 0;
  for (int c = threadIdx.x; c < cols; c += 64) sum += expf(row[c]);
  buf[threadIdx.x] = sum;
  __syncthreads();
  for (int s = 32; s > 0; s >>= 1) {
    if (threadIdx.x < s) buf[threadIdx.x] += buf[threadIdx.x + s];
    __syncthreads();
  }
  for (int c = threadIdx.x; c < cols; c += 64) out[blockIdx.x * cols + c] = expf(row[c]) / buf[0];
}""",
    "vectors": """
__global__ void k(const float4* in, float3* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = make_float3(in[i].x * in[i].w, in[i].y * in[i].w, in[i].z * in[i].w);
}""",
    "square_only": """
__global__ void k(float* m, int n) {
  int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x < n && y < n && x > y) m[y * n + x] = 0.5f * (m[y * n + x] + m[x * n + y]);
}""",
}

HOPELESS: dict[str, tuple[str, str]] = {
    "pointers to pointers": (
        "__global__ void k(float** rows) { rows[blockIdx.x][threadIdx.x] = 1; }",
        "'rows' has type 'float**'",
    ),
    "nothing written": (
        "__global__ void k(const float* x, int n) { if (x[threadIdx.x] > n) return; }",
        "writes nothing",
    ),
    "no inputs": (
        "__global__ void k(float* x, int n) { if (threadIdx.x < n) x[threadIdx.x] = 0; }",
        "would pass",
    ),
}
"""Source, and what is said of it."""
