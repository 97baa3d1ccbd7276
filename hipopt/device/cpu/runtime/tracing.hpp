// How the kernel's side of the runtime shows the microscope what is no plain access.
#ifndef HIPOPT_TRACING_HPP
#define HIPOPT_TRACING_HPP

#include <cstddef>
#include <cstdint>

#if defined(HIPOPT_MICROSCOPE)

// Of functions whose accesses are no plain ones.
#if defined(__clang__)
#define HIPOPT_UNTRACED __attribute__((no_sanitize("thread", "undefined"), noinline))
#else
#define HIPOPT_UNTRACED __attribute__((no_sanitize("thread"), no_sanitize("undefined"), noinline))
#endif

namespace hipopt {
void atomic_access(const volatile void* p, std::size_t bytes, std::uint64_t pc);
void fence();
}  // namespace hipopt

#define HIPOPT_ATOMIC_ACCESS(p)                     \
    hipopt::atomic_access(p, sizeof *(p),           \
                          reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)) - 1)
#define HIPOPT_FENCE() hipopt::fence()

#if !defined(HIPOPT_RUNTIME)
// Compilers don't look into libc.
extern "C" {
void* memcpy(void*, const void*, std::size_t) noexcept __asm__("hipopt_memcpy");
void* memmove(void*, const void*, std::size_t) noexcept __asm__("hipopt_memmove");
void* memset(void*, int, std::size_t) noexcept __asm__("hipopt_memset");
}
#endif

#else
#define HIPOPT_UNTRACED
#define HIPOPT_ATOMIC_ACCESS(p) ((void)0)
#define HIPOPT_FENCE() ((void)0)
#endif

#endif
