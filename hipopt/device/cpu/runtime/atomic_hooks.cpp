// What the compiler calls in place of __atomic_* and, where it has them, __hip_atomic_*.
#include <cstddef>
#include <cstdint>

#include "races.hpp"
#include "tracing.hpp"

#define HIPOPT_ORDERED(order) \
    if ((order) >= 3) hipopt::fence()
#define HIPOPT_SEEN(p, order)                                                     \
    HIPOPT_ORDERED(order);                                                        \
    hipopt::atomic_access(const_cast<const void*>(static_cast<const volatile void*>(p)), sizeof *p, \
                          reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)) - 1)
#define HIPOPT_FETCH(bits, T, name)                                                  \
    T __tsan_atomic##bits##_fetch_##name(volatile T* p, T v, int order) {            \
        HIPOPT_SEEN(p, order);                                                       \
        return __atomic_fetch_##name(p, v, __ATOMIC_RELAXED);                        \
    }
#define HIPOPT_COMPARE(bits, T, strength)                                                     \
    int __tsan_atomic##bits##_compare_exchange_##strength(volatile T* p, T* c, T v, int order, \
                                                          int) {                              \
        HIPOPT_SEEN(p, order);                                                                \
        return __atomic_compare_exchange_n(p, c, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED); \
    }
#define HIPOPT_ATOMICS(bits, T)                                                      \
    T __tsan_atomic##bits##_load(const volatile T* p, int) {                         \
        HIPOPT_SEEN(p, 0);                                                           \
        return __atomic_load_n(p, __ATOMIC_RELAXED);                                 \
    }                                                                                \
    void __tsan_atomic##bits##_store(volatile T* p, T v, int order) {                \
        HIPOPT_SEEN(p, order);                                                       \
        __atomic_store_n(p, v, __ATOMIC_RELAXED);                                    \
    }                                                                                \
    T __tsan_atomic##bits##_exchange(volatile T* p, T v, int order) {                \
        HIPOPT_SEEN(p, order);                                                       \
        return __atomic_exchange_n(p, v, __ATOMIC_RELAXED);                          \
    }                                                                                \
    HIPOPT_FETCH(bits, T, add)                                                       \
    HIPOPT_FETCH(bits, T, sub)                                                       \
    HIPOPT_FETCH(bits, T, and)                                                       \
    HIPOPT_FETCH(bits, T, or)                                                        \
    HIPOPT_FETCH(bits, T, xor)                                                       \
    HIPOPT_FETCH(bits, T, nand)                                                      \
    HIPOPT_COMPARE(bits, T, strong)                                                  \
    HIPOPT_COMPARE(bits, T, weak)                                                    \
    T __tsan_atomic##bits##_compare_exchange_val(volatile T* p, T c, T v, int order, int) { \
        HIPOPT_SEEN(p, order);                                                       \
        __atomic_compare_exchange_n(p, &c, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED); \
        return c;                                                                    \
    }

extern "C" {
HIPOPT_ATOMICS(8, std::uint8_t)
HIPOPT_ATOMICS(16, std::uint16_t)
HIPOPT_ATOMICS(32, std::uint32_t)
HIPOPT_ATOMICS(64, std::uint64_t)
void __tsan_atomic_thread_fence(int) { hipopt::fence(); }
void __tsan_atomic_signal_fence(int) {}
}
