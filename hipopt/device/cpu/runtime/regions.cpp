#include "regions.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "fault.hpp"
#include "fibers.hpp"
#include "lds.hpp"
#include "microscope.hpp"
#include "races.hpp"

extern char hipopt_data_begin[], hipopt_bss_end[];
extern char __executable_start[], _end[];
extern thread_local char hipopt_tdata_begin[] __asm__("hipopt_tdata_begin");
extern thread_local char hipopt_tdata_end[] __asm__("hipopt_tdata_end");
extern thread_local unsigned char hipopt_lds_begin[] __asm__("hipopt_lds_begin");
extern thread_local unsigned char hipopt_dynamic_lds[] __asm__("hipopt_dynamic_lds");

namespace hipopt {

std::uintptr_t area_begin;
std::uint64_t area_bytes;
Region* slots[max_slots];
Region lds_region, globals_region;
const unsigned char* lds_allowed;
Observation* observation;
bool busy[max_threads];

namespace {

constexpr std::uint64_t heap_bytes = 1ul << 30, most_globals_bytes = 16ul << 20;

Region regions[max_watched];
unsigned region_count;
std::uint64_t room_bytes;
unsigned char* allowed;
std::size_t allowed_bytes;

std::uintptr_t number(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

void* reserve(std::size_t bytes) {
    void* area = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return area == MAP_FAILED ? nullptr : area;
}

void free_history(Region& region) {
    if (region.writes != nullptr) munmap(region.writes, region.entries * 3 * sizeof(Record));
    if (region.releases != nullptr)
        munmap(region.releases, region.entries * sizeof(std::uint32_t));
}

// A region with an entry for each `element` bytes; false where there is no memory for that.
bool make_region(Region& region, std::uintptr_t begin, std::uint64_t bytes, std::uint64_t element,
                 std::uint32_t place) {
    free_history(region);
    region = {};
    region.begin = begin;
    region.bytes = bytes;
    region.shift = static_cast<unsigned>(__builtin_ctzll(element));
    region.place = place;
    const std::uint64_t count = region.entries = (bytes >> region.shift) + 1;
    region.writes = static_cast<Record*>(reserve(count * 3 * sizeof(Record)));
    region.releases = static_cast<std::uint32_t*>(reserve(count * sizeof(std::uint32_t)));
    region.reads = region.writes + count;
    region.others = region.reads + count;
    return region.writes != nullptr && region.releases != nullptr;
}

void forget_history_of(const Region& region) {
    if (region.writes == nullptr) return;
    madvise(region.writes, region.entries * 3 * sizeof(Record), MADV_DONTNEED);
    madvise(region.releases, region.entries * sizeof(std::uint32_t), MADV_DONTNEED);
}

bool watch_buffers(const Watch& request) {
    for (unsigned i = request.buffers; i < region_count; ++i) free_history(regions[i]);
    region_count = request.buffers;
    for (unsigned i = 0; i < region_count; ++i) {
        const Watch::Buffer& buffer = request.buffer[i];
        const std::uint64_t element = std::min(buffer.element_bytes, std::uint64_t{8});
        if (!make_region(regions[i], buffer.address, buffer.bytes, element, i)) return false;
        regions[i].reach = &observation->reaches[i];
    }
    for (unsigned slot = 0; slot < max_slots; ++slot) {
        static Region none;
        slots[slot] = slot == 0 || slot > region_count ? &none : &regions[slot - 1];
    }
    return true;
}

// Static arrays lie apart from each other, the dynamic area behind them all.
bool watch_lds(const Watch& request, std::size_t dynamic_bytes) {
    const std::uintptr_t begin = number(hipopt_lds_begin);
    const std::size_t dynamic = number(hipopt_dynamic_lds) - begin, bytes = dynamic + lds_area_bytes;
    if (allowed != nullptr) munmap(allowed, allowed_bytes);
    allowed_bytes = bytes;
    allowed = static_cast<unsigned char*>(reserve(bytes));
    if (allowed == nullptr) return false;
    lds_allowed = allowed;
    for (unsigned i = 0; i < request.lds_arrays; ++i)
        std::memset(allowed + request.lds[i].offset, 1, request.lds[i].bytes);
    std::memset(allowed + dynamic, 1, dynamic_bytes);
    const unsigned shift = lds_region.bytes == 0 ? 2 : lds_region.shift;
    if (!make_region(lds_region, begin, bytes, 1, in_lds)) return false;
    lds_region.shift = shift;
    return true;
}

bool watch_globals() {
    const auto bytes = static_cast<std::uint64_t>(hipopt_bss_end - hipopt_data_begin);
    if (bytes > most_globals_bytes) return true;
    return make_region(globals_region, number(hipopt_data_begin), bytes, 4, in_globals);
}

// The buffer that is nearest; null where there is none.
Region* nearest(std::uintptr_t address) {
    Region* best = nullptr;
    std::uint64_t least = ~std::uint64_t{0};
    for (unsigned i = 0; i < region_count; ++i) {
        Region& region = regions[i];
        const std::uintptr_t end = region.begin + region.bytes;
        const std::uint64_t distance = address < region.begin ? region.begin - address
                                       : address >= end       ? address - end
                                                              : 0;
        if (distance < least) least = distance, best = &region;
    }
    return best;
}

// In reach of a buffer, or the end of the process.
void beside_buffers(std::uintptr_t address, std::size_t bytes, Access access, std::uint64_t pc) {
    Region* region = nearest(address);
    if (region == nullptr) out_of_bounds(address, bytes, access, pc);
    const auto low = static_cast<std::int64_t>(address - region->begin);
    const auto high = low + static_cast<std::int64_t>(bytes);
    if (access != Access::write) extend(region->reach->read, low, high);
    if (access != Access::read) {
        extend(region->reach->written, low, high);
        busy[current] = true;
    }
    const auto room = static_cast<std::int64_t>(room_bytes);
    if (low < -room || high > static_cast<std::int64_t>(region->bytes) + room)
        out_of_bounds(address, bytes, access, pc);
}

}  // namespace

void check_lds(std::uintptr_t address, std::size_t bytes, Access access, std::uint64_t pc) {
    const std::uint64_t at = address - lds_region.begin;
    const unsigned char* end = lds_allowed + at + bytes;
    if (bytes <= lds_region.bytes - at && std::find(end - bytes, end, 0) == end) return;
    die(Say::lds_out_of_bounds, bytes << 8 | static_cast<std::uint64_t>(access), at, pc);
}

void out_of_bounds(std::uintptr_t address, std::size_t bytes, Access access, std::uint64_t pc) {
    die(Say::out_of_bounds, bytes << 8 | static_cast<std::uint64_t>(access), address, pc);
}

Region* find_otherwise(std::uintptr_t address, std::size_t bytes, Access access,
                       std::uint64_t pc) {
    if (address - globals_region.begin < globals_region.bytes) return &globals_region;
    const bool is_image = number(__executable_start) <= address && address < number(_end);
    if ((is_image && access == Access::read) || is_own_stack(address)) return nullptr;
    if (address - area_begin < area_bytes) {
        beside_buffers(address, bytes, access, pc);
        return nullptr;
    }
    const bool is_global =
        number(hipopt_data_begin) <= address && address < number(hipopt_bss_end);
    const bool is_heap = address - number(_end) < heap_bytes;
    if (is_global || is_heap) return nullptr;
    if (number(hipopt_tdata_begin) <= address && address < number(hipopt_tdata_end))
        return nullptr;
    out_of_bounds(address, bytes, access, pc);
}

void refine(Region& region, std::size_t bytes) {
    forget_history_of(region);
    region.shift = static_cast<unsigned>(__builtin_ctzll(bytes));
}

void forget_history() {
    for (unsigned i = 0; i < region_count; ++i) forget_history_of(regions[i]);
    forget_history_of(lds_region);
    forget_history_of(globals_region);
}

void forget_reaches(std::uint64_t clock) {
    constexpr std::int64_t far = std::int64_t{1} << 62;
    for (unsigned i = 0; i < region_count; ++i) {
        *regions[i].reach = {{far, -far}, {far, -far}};
        regions[i].clock = clock;
    }
    globals_region.clock = clock;
}

bool watch(const Watch& request, std::uint64_t address, std::uint64_t bytes,
           std::size_t dynamic_lds_bytes) {
    area_begin = address;
    area_bytes = bytes;
    room_bytes = request.room_bytes;
    observation = reinterpret_cast<Observation*>(request.observation);
    return watch_buffers(request) && watch_lds(request, dynamic_lds_bytes) && watch_globals();
}

}  // namespace hipopt
