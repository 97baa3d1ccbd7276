#include <hip/hip_runtime.h>
#include <stdint.h>

#define WORDS 8

// Distance between 256-bit fingerprints: query q against entry q of the data base.
__global__ void hamming_bits(const uint32_t* query, const uint32_t* base, int* distance, int n) {
    int q = blockIdx.x * blockDim.x + threadIdx.x;
    if (q >= n) return;
    int bits = 0;
    for (int w = 0; w < WORDS; ++w) {
        uint32_t diff = query[q * WORDS + w] ^ base[q * WORDS + w];
        for (int b = 0; b < 32; ++b) {
            if ((diff >> b) & 1u) bits++;
        }
    }
    distance[q] = bits;
}
