#include "memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <iterator>

namespace standin {

Memory::Memory() : file_(memfd_create("standin", MFD_CLOEXEC)) {
    if (file_ < 0 || ftruncate(file_, area_bytes) != 0) std::abort();
    void* mapped = mmap(nullptr, area_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                        file_, 0);
    if (mapped == MAP_FAILED) std::abort();
    host_ = static_cast<unsigned char*>(mapped);
}

std::uint64_t Memory::allocate(std::size_t bytes) {
    const std::uint64_t whole = (bytes + page_bytes - 1) / page_bytes * page_bytes;
    if (bytes == 0 || next_ + whole > base_address + area_bytes) return 0;
    const std::uint64_t address = next_;
    next_ += whole + gap_bytes;
    allocations_[address] = whole;
    return address;
}

bool Memory::free(std::uint64_t address) {
    const auto found = allocations_.find(address);
    if (found == allocations_.end()) return false;
    madvise(host_ + (address - base_address), found->second, MADV_REMOVE);
    touched_.erase(address);
    allocations_.erase(found);
    return true;
}

std::size_t Memory::allocated() const {
    std::size_t sum = 0;
    for (const auto& [address, bytes] : allocations_) sum += bytes;
    return sum;
}

void Memory::touch(std::uint64_t address) {
    const auto& [start, size] = *std::prev(allocations_.upper_bound(address));
    touched_[start] = size;
}

unsigned char* Memory::at(std::uint64_t address, std::size_t bytes) const {
    auto after = allocations_.upper_bound(address);
    if (after == allocations_.begin()) return nullptr;
    const auto& [start, size] = *std::prev(after);
    if (address + bytes > start + size) return nullptr;
    return host_ + (address - base_address);
}

}  // namespace standin
