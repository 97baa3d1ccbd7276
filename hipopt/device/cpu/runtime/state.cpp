#include "state.hpp"

#include <sys/mman.h>

#include <cstddef>
#include <cstring>

#include "fault.hpp"

// The kernel's object is linked between these marks; see switch.S and compiler.py.
extern char hipopt_data_begin[], hipopt_data_end[], hipopt_bss_begin[], hipopt_bss_end[];
extern thread_local char hipopt_tdata_begin[] __asm__("hipopt_tdata_begin");
extern thread_local char hipopt_tdata_end[] __asm__("hipopt_tdata_end");

namespace hipopt {
namespace {


char* copy;

template <class Visit>
void each_stretch(Visit visit) {
    char* const ends[][2] = {{hipopt_data_begin, hipopt_data_end},
                             {hipopt_bss_begin, hipopt_bss_end},
                             {hipopt_tdata_begin, hipopt_tdata_end}};
    std::size_t offset = 0;
    for (const auto& [begin, end] : ends) {
        const auto bytes = static_cast<std::size_t>(end - begin);
        visit(begin, bytes, offset);
        offset += bytes;
    }
}

}  // namespace

void remember_state() {
    std::size_t total = 0;
    each_stretch([&](char*, std::size_t bytes, std::size_t) { total += bytes; });
    if (total == 0) return;
    void* area = mmap(nullptr, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) die(Say::out_of_memory, 0);
    copy = static_cast<char*>(area);
    each_stretch([](char* begin, std::size_t bytes, std::size_t offset) {
        std::memcpy(copy + offset, begin, bytes);
    });
}

void restore_state() {
    each_stretch([](char* begin, std::size_t bytes, std::size_t offset) {
        if (bytes != 0) std::memcpy(begin, copy + offset, bytes);
    });
}

}  // namespace hipopt
