#include "fibers.hpp"

#include <sys/mman.h>

#include <cstring>

#include "fault.hpp"

namespace hipopt {
namespace {

constexpr std::size_t stack_bytes = 256 << 10, guard_bytes = 64 << 10, page_bytes = 4096;
constexpr std::size_t stride = guard_bytes + stack_bytes;
// Stacks start at different offsets in their pages, or all would share a few cache lines.
constexpr std::size_t color_bytes = 320, colors = 51;
// The part of a stack that stays mapped between launches: page faults would be timed.
constexpr std::size_t warm_bytes = 4096;

Fiber fibers[max_threads + 1];
unsigned fiber_count;
char* stacks;

char* low_of(unsigned fiber) { return stacks + fiber * stride + guard_bytes; }
char* top_of(unsigned fiber) {
    return low_of(fiber) + stack_bytes - fiber % colors * color_bytes;
}
std::size_t pages(std::size_t bytes) { return (bytes + page_bytes - 1) / page_bytes * page_bytes; }

// A stack that starts in fiber_main when it is switched to.
void* fresh_stack(char* top) {
#if defined(__x86_64__)
    void** frame = reinterpret_cast<void**>(top) - 8;
    std::memset(frame, 0, 8 * sizeof(void*));
    frame[6] = reinterpret_cast<void*>(&fiber_main);
#else
    void** frame = reinterpret_cast<void**>(top - 160);
    std::memset(frame, 0, 160);
    frame[11] = reinterpret_cast<void*>(&fiber_main);
#endif
    return frame;
}

bool is_stack(std::uintptr_t address) {
    const auto low = reinterpret_cast<std::uintptr_t>(stacks);
    return stacks != nullptr && low <= address && address < low + stride * (max_threads + 1);
}

void scrub(unsigned fiber) {
    char* low = low_of(fiber);
    const std::size_t used = pages(static_cast<std::size_t>(top_of(fiber) - low));
    const std::size_t cold = used - pages(warm_bytes) - page_bytes;
    madvise(low, cold, MADV_DONTNEED);
    std::memset(low + cold, 0, used - cold);
}

}  // namespace

Fiber* new_fiber() {
    if (stacks == nullptr) {
        void* area = mmap(nullptr, stride * (max_threads + 1), PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (area == MAP_FAILED) die(Say::out_of_memory, 0);
        stacks = static_cast<char*>(area);
    }
    char *low = low_of(fiber_count), *top = top_of(fiber_count);
    const std::size_t used = pages(static_cast<std::size_t>(top - low));
    if (mprotect(low, used, PROT_READ | PROT_WRITE) != 0) die(Say::out_of_memory, 0);
    Fiber* fiber = &fibers[fiber_count++];
    fiber->stack_pointer = fresh_stack(top);
    return fiber;
}

Fiber* renew_fibers() {
    for (unsigned i = 0; i < fiber_count; ++i) {
        scrub(i);
        fibers[i].stack_pointer = fresh_stack(top_of(i));
        fibers[i].next_free = i + 1 < fiber_count ? &fibers[i + 1] : nullptr;
    }
    return fiber_count == 0 ? nullptr : fibers;
}

bool is_own_stack(std::uintptr_t address) {
    const auto base = reinterpret_cast<std::uintptr_t>(stacks);
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    return is_stack(address) && (address - base) / stride == (here - base) / stride;
}

bool is_stack_guard(std::uintptr_t address) {
    return is_stack(address) &&
           (address - reinterpret_cast<std::uintptr_t>(stacks)) % stride < guard_bytes;
}

}  // namespace hipopt
