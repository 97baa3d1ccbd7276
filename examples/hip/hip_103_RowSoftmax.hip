#include <torch/extension.h>
#include <hip/hip_runtime.h>

#define BLOCK_SIZE 256

// One block a row: find the maximum, sum the exponentials, divide.
__global__ void row_softmax_kernel(const float* __restrict__ input, float* __restrict__ output, int cols) {
    __shared__ float buf[BLOCK_SIZE];
    const int row = blockIdx.x;
    const int tid = threadIdx.x;

    float m = -INFINITY;
    for (int c = tid; c < cols; c += BLOCK_SIZE) {
        m = fmaxf(m, input[row * cols + c]);
    }
    buf[tid] = m;
    __syncthreads();
    for (int s = BLOCK_SIZE / 2; s > 0; s >>= 1) {
        if (tid < s) buf[tid] = fmaxf(buf[tid], buf[tid + s]);
        __syncthreads();
    }
    const float row_max = buf[0];
    __syncthreads();

    float sum = 0.0f;
    for (int c = tid; c < cols; c += BLOCK_SIZE) {
        sum += expf(input[row * cols + c] - row_max);
    }
    buf[tid] = sum;
    __syncthreads();
    for (int s = BLOCK_SIZE / 2; s > 0; s >>= 1) {
        if (tid < s) buf[tid] += buf[tid + s];
        __syncthreads();
    }

    for (int c = tid; c < cols; c += BLOCK_SIZE) {
        output[row * cols + c] = expf(input[row * cols + c] - row_max) / buf[0];
    }
}

torch::Tensor forward(torch::Tensor input) {
    TORCH_CHECK(input.dim() == 2, "expected a matrix");
    const int rows = input.size(0);
    const int cols = input.size(1);
    auto output = torch::empty_like(input);
    row_softmax_kernel<<<rows, BLOCK_SIZE>>>(input.data_ptr<float>(), output.data_ptr<float>(), cols);
    return output;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.def("forward", &forward, "softmax over the last dimension");
}
