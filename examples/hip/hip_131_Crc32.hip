#include <hip/hip_runtime.h>
#include <stdint.h>

#define CRC_POLY 0xEDB88320u

// CRC-32 of every message; all have `length` bytes, one after the other.
__global__ void crc32_messages(const uint8_t* messages, uint32_t* crc, int count, int length) {
    int m = blockIdx.x * blockDim.x + threadIdx.x;
    if (m >= count) return;
    uint32_t value = 0xFFFFFFFFu;
    for (int i = 0; i < length; ++i) {
        value ^= messages[m * length + i];
        for (int bit = 0; bit < 8; ++bit) {
            if (value & 1u) {
                value = (value >> 1) ^ CRC_POLY;
            } else {
                value >>= 1;
            }
        }
    }
    crc[m] = ~value;
}
