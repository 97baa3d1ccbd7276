// Two integer kernels: bucket numbers by FNV-1a, and a stream of xorshift numbers a thread.
#include <hip/hip_runtime.h>

#include <cstdint>
#include <cstdio>
#include <vector>

#define FNV_OFFSET 2166136261u
#define FNV_PRIME 16777619u

__global__ void fnv_bucket(const uint32_t* keys, uint32_t* bucket, int n, int words, uint32_t buckets) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        uint32_t hash = FNV_OFFSET;
        for (int w = 0; w < words; ++w) {
            uint32_t divisor = 1;
            for (int byte = 0; byte < 4; ++byte) {
                // the next byte, lowest first: (key / 256^byte) % 256
                hash = (hash ^ ((keys[i * words + w] / divisor) % 256u)) * FNV_PRIME;
                divisor *= 256u;
            }
            bucket[i] = hash % buckets;
        }
    }
}

__device__ inline uint32_t xorshift(uint32_t state) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

// out[k * n + i] is number k of stream i.
__global__ void xorshift_fill(const uint32_t* seeds, float* out, int n, int per_stream) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    for (int k = 0; k < per_stream; ++k) {
        uint32_t state = seeds[i] | 1u;
        for (int skip = 0; skip <= k; ++skip) state = xorshift(state);
        out[k * n + i] = state / 4294967296.0;
    }
}

int main() {
    const int n = 1000, words = 4, per_stream = 8;
    std::vector<uint32_t> keys(n * words), bucket(n);
    for (int i = 0; i < n * words; ++i) keys[i] = 2654435761u * i;

    uint32_t *d_keys, *d_bucket;
    float* d_out;
    (void)hipMalloc(&d_keys, keys.size() * 4);
    (void)hipMalloc(&d_bucket, n * 4);
    (void)hipMalloc(&d_out, n * per_stream * 4);
    (void)hipMemcpy(d_keys, keys.data(), keys.size() * 4, hipMemcpyHostToDevice);
    fnv_bucket<<<(n + 127) / 128, 128>>>(d_keys, d_bucket, n, words, 97u);
    xorshift_fill<<<(n + 127) / 128, 128>>>(d_keys, d_out, n, per_stream);
    (void)hipMemcpy(bucket.data(), d_bucket, n * 4, hipMemcpyDeviceToHost);
    int bad = 0;
    for (uint32_t b : bucket) bad += b >= 97u;
    puts(bad ? "FAILED" : "PASSED: \"__global__ void fnv_bucket(...)\" keeps to its buckets");
    return bad != 0;
}
