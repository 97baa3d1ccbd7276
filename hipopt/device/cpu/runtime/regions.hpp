// The memory that a kernel may touch: buffers, LDS, globals, its own stack.
#ifndef HIPOPT_REGIONS_HPP
#define HIPOPT_REGIONS_HPP

#include <cstddef>
#include <cstdint>

#include "execution.hpp"
#include "observation.hpp"

namespace hipopt {

// Who accessed an element last: 27 bits of clock, 3 of Mark, 10 of thread, 24 of instruction.
using Record = std::uint64_t;

// A stretch of memory with its reach and, an entry for each element, its history.
struct Region {
    std::uintptr_t begin;
    std::uint64_t bytes;
    unsigned shift;       // log2 of the bytes that share an entry.
    std::uint64_t clock;  // What is older can't be in conflict.
    std::uint64_t entries;
    std::uint32_t place;
    BufferReach* reach;
    Record* writes;
    Record* reads;
    Record* others;           // A read by another wave than the last one's.
    std::uint32_t* releases;  // The clock up to which an atomic operation here releases writes.
};

inline constexpr unsigned area_slot_bits = 33;  // Buffers lie 8 GiB apart; see memory.py.

extern std::uintptr_t area_begin;
extern std::uint64_t area_bytes;
inline constexpr unsigned max_slots = max_watched + 64;

extern Region* slots[max_slots];
extern Region lds_region, globals_region;
extern const unsigned char* lds_allowed;  // A byte for each of LDS: whether it belongs to an array.
extern Observation* observation;
extern bool busy[];

// What is to be done about an access outside of all that a quick look covers. Null: nothing more.
Region* find_otherwise(std::uintptr_t address, std::size_t bytes, Access access, std::uint64_t pc);
[[noreturn]] void out_of_bounds(std::uintptr_t address, std::size_t bytes, Access access,
                                std::uint64_t pc);
// Ends the process unless all of it belongs to arrays in LDS.
void check_lds(std::uintptr_t address, std::size_t bytes, Access access, std::uint64_t pc);
// Forgets which accesses the region saw, and keeps an entry for each `bytes` of it from now on.
void refine(Region& region, std::size_t bytes);
// Forgets all accesses.
void forget_history();
// A launch begins: nothing was reached.
void forget_reaches(std::uint64_t clock);

inline void extend(Extent& extent, std::int64_t low, std::int64_t high) {
    if (low < extent.low) extent.low = low;
    if (high > extent.high) extent.high = high;
}

// The region of an access that is allowed, its reach extended; null where none keeps a history.
inline Region* find(std::uintptr_t address, std::size_t bytes, Access access, std::uint64_t pc) {
    const std::uint64_t offset = address - area_begin;
    Region* region;
    if (offset < area_bytes) {
        region = slots[offset >> area_slot_bits];
        const std::uint64_t at = address - region->begin;
        if (at >= region->bytes || bytes > region->bytes - at)
            return find_otherwise(address, bytes, access, pc);
        const auto low = static_cast<std::int64_t>(at);
        const auto high = low + static_cast<std::int64_t>(bytes);
        if (access != Access::write) extend(region->reach->read, low, high);
        if (access != Access::read) {
            extend(region->reach->written, low, high);
            busy[current] = true;
        }
        return region;
    }
    if (address - lds_region.begin < lds_region.bytes) {
        check_lds(address, bytes, access, pc);
        return &lds_region;
    }
    return find_otherwise(address, bytes, access, pc);
}

}  // namespace hipopt

#endif
