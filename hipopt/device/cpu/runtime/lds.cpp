#include "lds.hpp"

#include <sys/mman.h>

#include <algorithm>

#include "fault.hpp"

extern thread_local std::uint32_t hipopt_lds_begin[] __asm__("hipopt_lds_begin");
extern thread_local std::uint32_t hipopt_lds_end[] __asm__("hipopt_lds_end");
extern thread_local unsigned char hipopt_dynamic_lds[] __asm__("hipopt_dynamic_lds");

namespace hipopt {
namespace {

constexpr std::size_t page_bytes = lds_page_bytes;

std::size_t dynamic_lds_bytes;
std::uint32_t launch_number;

// NaN as float, half, bfloat16 and double, negative as an integer: LDS is not zero on a GPU.
std::uint32_t garbage() { return 0xFFFFFE00u | (launch_number & 0xFF); }

std::uint32_t* dynamic_words() { return reinterpret_cast<std::uint32_t*>(hipopt_dynamic_lds); }

// Words between the dynamic LDS and the next protected page.
unsigned canary_length() {
    const std::size_t rest = (page_bytes - dynamic_lds_bytes % page_bytes) % page_bytes;
    return static_cast<unsigned>(rest / 4);
}

}  // namespace

void next_garbage() { ++launch_number; }

void spoil_lds() {
    std::fill(hipopt_lds_begin, hipopt_lds_end, garbage());
    std::fill_n(dynamic_words(), dynamic_lds_bytes / 4 + canary_length(), garbage());
}

void check_lds() {
    const std::uint32_t* end = dynamic_words() + dynamic_lds_bytes / 4;
    for (unsigned i = 0; i < canary_length(); ++i)
        if (end[i] != garbage()) die(Say::lds_overrun, dynamic_lds_bytes);
}

void protect_lds(std::size_t bytes) {
    dynamic_lds_bytes = (bytes + 3) / 4 * 4;
    const std::size_t usable = (bytes + page_bytes - 1) / page_bytes * page_bytes;
    mprotect(hipopt_dynamic_lds, lds_area_bytes, PROT_READ | PROT_WRITE);
    mprotect(hipopt_dynamic_lds + usable, lds_area_bytes - usable, PROT_NONE);
}

bool is_lds(std::uintptr_t address) {
    const auto low = reinterpret_cast<std::uintptr_t>(hipopt_dynamic_lds);
    return low <= address && address < low + lds_area_bytes;
}

}  // namespace hipopt
