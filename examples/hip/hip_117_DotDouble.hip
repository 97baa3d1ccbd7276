#include <hip/hip_runtime.h>

#include <cmath>
#include <cstdio>
#include <vector>

constexpr int THREADS = 128;

// partial[b] = sum over block b's share of x * y, in double precision
__global__ void dot_double(const double* x, const double* y, double* partial, int n) {
    __shared__ double cache[THREADS];
    double sum = 0.0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) {
        sum += x[i] * y[i];
    }
    cache[threadIdx.x] = sum;
    __syncthreads();
    for (int half = THREADS / 2; half != 0; half /= 2) {
        if (threadIdx.x < half) cache[threadIdx.x] += cache[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) partial[blockIdx.x] = cache[0];
}

int main() {
    const int n = 100000, blocks = 64;
    std::vector<double> x(n), y(n), partial(blocks);
    double expected = 0.0;
    for (int i = 0; i < n; ++i) {
        x[i] = 1.0 / (i + 1);
        y[i] = i % 7;
        expected += x[i] * y[i];
    }
    double *dx, *dy, *dp;
    (void)hipMalloc(&dx, n * sizeof(double));
    (void)hipMalloc(&dy, n * sizeof(double));
    (void)hipMalloc(&dp, blocks * sizeof(double));
    (void)hipMemcpy(dx, x.data(), n * sizeof(double), hipMemcpyHostToDevice);
    (void)hipMemcpy(dy, y.data(), n * sizeof(double), hipMemcpyHostToDevice);
    dot_double<<<blocks, THREADS>>>(dx, dy, dp, n);
    (void)hipMemcpy(partial.data(), dp, blocks * sizeof(double), hipMemcpyDeviceToHost);
    double sum = 0.0;
    for (double p : partial) sum += p;
    printf("%.12f %.12f\n", sum, expected);
    return std::fabs(sum - expected) > 1e-9;
}
