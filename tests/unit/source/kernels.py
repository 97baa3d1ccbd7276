"""Kernels as they are found in the wild, for the tests of `hipopt.source`."""

SAXPY = """\
#include <hip/hip_runtime.h>
#include <iostream>

#define BLOCK 256

__global__ void saxpy(const float* __restrict__ x, float* y, float a, int n) {
  int i = blockIdx.x * BLOCK + threadIdx.x;
  if (i < n) y[i] += a * x[i];
}

int main() {
  saxpy<<<1, BLOCK>>>(nullptr, nullptr, 2.0f, 0);
  std::cout << "done" << std::endl;
}
"""

TORCH_EXTENSION = """\
// Ein Kommentar mit Umlauten: größer, naïve — and code: __global__ void nothing() {}
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>
#include <vector>
#ifndef TILE
#define TILE 16
#endif
#define HD __host__ __device__ __forceinline__
namespace detail {
/// Keeps x between lo and hi.
template <typename T> HD T clamp_to(T x, T lo, T hi) { return x < lo ? lo : (x > hi ? hi : x); }
struct Unused { std::vector<int> host_only; };
}
using namespace detail;
typedef unsigned int uint_t;
__constant__ float table[TILE];
static_assert(TILE == 16, "tile");
torch::Tensor launch(torch::Tensor x);
namespace {
template <typename scalar_t>
__global__ void __launch_bounds__(256, 2)
    scale(const scalar_t* __restrict__ x, scalar_t* y, float const a, uint_t n) {
  __shared__ float s[TILE];
  const char* text = "} // {";
  const char* raw = R"x(} #define NOT ")x";
  CUDA_KERNEL_LOOP(i, n) y[i] = clamp_to<scalar_t>(x[i] * a * table[i % TILE], 0, 1);
#ifdef FAST
  if (n) {
#else
  if (n > 1) {
#endif
    y[0] = 1;
  }
}
}  // namespace
torch::Tensor launch(torch::Tensor x) {
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "scale", ([&] {
    scale<scalar_t><<<1, 256, 0>>>(x.data_ptr<scalar_t>(), nullptr, 1.f, 2);
  }));
  return x;
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("launch", &launch); }
"""

TWO_NAMESPACES = """\
namespace a { __global__ void k(int* x) { x[0] = 1; } }
namespace b { namespace c {
__global__ void k(int* x) { x[0] = 2; }
} }
extern "C" __global__ __attribute__((amdgpu_flat_work_group_size(1, 64))) void alone(int* x) {}
"""
