// The stand-in's device memory: one sparse memory file, which the kernels' processes map as well.
#ifndef STANDIN_MEMORY_HPP
#define STANDIN_MEMORY_HPP

#include <cstddef>
#include <cstdint>
#include <map>

namespace standin {

inline constexpr std::uint64_t base_address = 0x3000'0000'0000;  // Of device memory, in kernels.
inline constexpr std::uint64_t area_bytes = 1ull << 36;
inline constexpr std::uint64_t page_bytes = 4096;
inline constexpr std::uint64_t gap_bytes = 1 << 20;  // Between allocations; nothing is mapped there.
// What is larger serves to flush caches, of which there are none: filling it does nothing.
inline constexpr std::uint64_t filled_at_most = 256 << 20;

class Memory {
public:
    Memory();
    // The address of fresh memory, 0 where there is none left.
    std::uint64_t allocate(std::size_t bytes);
    // Whether that was an allocation; it is none any more.
    bool free(std::uint64_t address);
    // Kernels see the allocation from now on.
    void touch(std::uint64_t address);
    // Where this process sees the bytes; null where they are not all in one allocation.
    unsigned char* at(std::uint64_t address, std::size_t bytes) const;

    std::size_t allocated() const;
    // Address and bytes of what was touched.
    const std::map<std::uint64_t, std::size_t>& touched() const { return touched_; }
    int file() const { return file_; }

private:
    int file_;
    unsigned char* host_;
    std::uint64_t next_ = base_address + gap_bytes;
    std::map<std::uint64_t, std::size_t> allocations_, touched_;
};

}  // namespace standin

#endif
