// What the compiler calls before every access to memory (-fsanitize=thread).
#include <cstddef>
#include <cstring>

#include "races.hpp"
#include "regions.hpp"

namespace hipopt {
namespace {

template <class Check>
inline void look(const volatile void* p, std::size_t bytes, Access access, std::uint64_t pc,
                 Check check) {
    if (is_unsettled) settle();
    const auto address = reinterpret_cast<std::uintptr_t>(p);
    Region* region = find(address, bytes, access, pc);
    if (region != nullptr && region->writes != nullptr) check(*region, address - region->begin);
}

inline void read(const volatile void* p, std::size_t bytes, std::uint64_t pc, Mark mark) {
    look(p, bytes, Access::read, pc,
         [=](Region& r, std::uint64_t at) { check_read(r, at, bytes, pc, mark); });
}

inline void write(const volatile void* p, std::size_t bytes, std::uint64_t pc, Mark mark) {
    look(p, bytes, Access::write, pc,
         [=](Region& r, std::uint64_t at) { check_write(r, at, bytes, pc, mark); });
}

}  // namespace

void atomic_access(const volatile void* p, std::size_t bytes, std::uint64_t pc) {
    look(p, bytes, Access::atomic, pc,
         [=](Region& r, std::uint64_t at) { check_atomic(r, at, bytes, pc); });
}

}  // namespace hipopt

// The instruction of the call itself: a return address may belong to the next line.
#define HIPOPT_HERE (reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)) - 1)
#define HIPOPT_HOOKS(n)                                                                          \
    void __tsan_read##n(void* p) { hipopt::read(p, n, HIPOPT_HERE, hipopt::Mark::plain); }       \
    void __tsan_write##n(void* p) { hipopt::write(p, n, HIPOPT_HERE, hipopt::Mark::plain); }     \
    void __tsan_unaligned_read##n(void* p) {                                                     \
        hipopt::read(p, n, HIPOPT_HERE, hipopt::Mark::plain);                                    \
    }                                                                                            \
    void __tsan_unaligned_write##n(void* p) {                                                    \
        hipopt::write(p, n, HIPOPT_HERE, hipopt::Mark::plain);                                   \
    }                                                                                            \
    void __tsan_volatile_read##n(void* p) {                                                      \
        hipopt::read(p, n, HIPOPT_HERE, hipopt::Mark::polled);                                   \
    }                                                                                            \
    void __tsan_volatile_write##n(void* p) {                                                     \
        hipopt::write(p, n, HIPOPT_HERE, hipopt::Mark::polled);                                  \
    }                                                                                            \
    void __tsan_unaligned_volatile_read##n(void* p) {                                            \
        hipopt::read(p, n, HIPOPT_HERE, hipopt::Mark::polled);                                   \
    }                                                                                            \
    void __tsan_unaligned_volatile_write##n(void* p) {                                           \
        hipopt::write(p, n, HIPOPT_HERE, hipopt::Mark::polled);                                  \
    }

extern "C" {
HIPOPT_HOOKS(1)
HIPOPT_HOOKS(2)
HIPOPT_HOOKS(4)
HIPOPT_HOOKS(8)
HIPOPT_HOOKS(16)

void __tsan_init() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_read_range(void* p, std::size_t bytes) {
    if (bytes != 0) hipopt::read(p, bytes, HIPOPT_HERE, hipopt::Mark::plain);
}
void __tsan_write_range(void* p, std::size_t bytes) {
    if (bytes != 0) hipopt::write(p, bytes, HIPOPT_HERE, hipopt::Mark::plain);
}

// The kernel's calls of libc's functions go here; see tracing.hpp.
void* hipopt_memcpy(void* to, const void* from, std::size_t bytes) {
    if (bytes == 0) return to;
    hipopt::read(from, bytes, HIPOPT_HERE, hipopt::Mark::plain);
    hipopt::write(to, bytes, HIPOPT_HERE, hipopt::Mark::plain);
    return std::memcpy(to, from, bytes);
}
void* hipopt_memmove(void* to, const void* from, std::size_t bytes) {
    if (bytes == 0) return to;
    hipopt::read(from, bytes, HIPOPT_HERE, hipopt::Mark::plain);
    hipopt::write(to, bytes, HIPOPT_HERE, hipopt::Mark::plain);
    return std::memmove(to, from, bytes);
}
void* hipopt_memset(void* to, int value, std::size_t bytes) {
    if (bytes == 0) return to;
    hipopt::write(to, bytes, HIPOPT_HERE, hipopt::Mark::plain);
    return std::memset(to, value, bytes);
}
}
