// Sum of an array: one partial sum a block, added up on the host.
#include <hip/hip_runtime.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define HIP_CHECK(call)                                                                  \
    do {                                                                                 \
        hipError_t status_ = (call);                                                     \
        if (status_ != hipSuccess) {                                                     \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, hipGetErrorString(status_)); \
            exit(1);                                                                     \
        }                                                                                \
    } while (0)

const int kThreads = 256;

__global__ void reduce_sum(const float* in, float* partial, int n) {
    __shared__ float sdata[kThreads];
    unsigned int tid = threadIdx.x;
    unsigned int i = blockIdx.x * blockDim.x + threadIdx.x;
    sdata[tid] = i < n ? in[i] : 0.0f;
    __syncthreads();

    // Interleaved addressing, as in every first reduction.
    for (unsigned int s = 1; s < blockDim.x; s *= 2) {
        if (tid % (2 * s) == 0) {
            sdata[tid] += sdata[tid + s];
        }
        __syncthreads();
    }
    if (tid == 0) partial[blockIdx.x] = sdata[0];
}

int main(int argc, char** argv) {
    const int n = argc > 1 ? atoi(argv[1]) : 1 << 20;
    const int blocks = (n + kThreads - 1) / kThreads;
    std::vector<float> host(n);
    double expected = 0.0;
    for (int i = 0; i < n; ++i) {
        host[i] = static_cast<float>((i * 37) % 101) / 101.0f;
        expected += host[i];
    }

    float *in = nullptr, *partial = nullptr;
    HIP_CHECK(hipMalloc(&in, n * sizeof(float)));
    HIP_CHECK(hipMalloc(&partial, blocks * sizeof(float)));
    HIP_CHECK(hipMemcpy(in, host.data(), n * sizeof(float), hipMemcpyHostToDevice));
    reduce_sum<<<blocks, kThreads>>>(in, partial, n);
    HIP_CHECK(hipGetLastError());
    std::vector<float> sums(blocks);
    HIP_CHECK(hipMemcpy(sums.data(), partial, blocks * sizeof(float), hipMemcpyDeviceToHost));

    double total = 0.0;
    for (float s : sums) total += s;
    const bool good = std::fabs(total - expected) < 1e-5 * expected;
    printf("sum %.6f, expected %.6f: %s\n", total, expected, good ? "PASSED" : "FAILED");
    HIP_CHECK(hipFree(in));
    HIP_CHECK(hipFree(partial));
    return good ? 0 : 1;
}
