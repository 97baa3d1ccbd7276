#include <hip/hip_runtime.h>

// The sum of every block's share, for any element type and a block size known to the compiler:
//     block_sum<float, 256><<<blocks, 256>>>(in, out, n);
template <typename T, int BLOCK>
__global__ void block_sum(const T* __restrict__ in, T* __restrict__ out, int n) {
    __shared__ T lds[BLOCK];
    T acc = T(0);
    for (int i = blockIdx.x * BLOCK + threadIdx.x; i < n; i += BLOCK * gridDim.x) {
        acc += in[i];
    }
    lds[threadIdx.x] = acc;
    __syncthreads();
    for (int s = BLOCK / 2; s > 0; s /= 2) {
        if (threadIdx.x < s) {
            lds[threadIdx.x] += lds[threadIdx.x + s];
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        out[blockIdx.x] = lds[0];
    }
}

template __global__ void block_sum<float, 256>(const float*, float*, int);
template __global__ void block_sum<int, 128>(const int*, int*, int);
