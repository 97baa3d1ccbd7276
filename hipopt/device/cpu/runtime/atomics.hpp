// Atomics. Plain reads and writes: threads switch only where they wait.
#ifndef HIPOPT_ATOMICS_HPP
#define HIPOPT_ATOMICS_HPP

#include <type_traits>

#include "tracing.hpp"

namespace hipopt {

template <class T>
using IfAtomic =
    std::enable_if_t<std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), int>;
template <class T>
struct Same {
    using Type = T;
};
template <class T>
using Value = typename Same<T>::Type;  // Not deduced: the pointer decides, as in HIP's overloads.

}  // namespace hipopt

#define HIPOPT_ATOMIC(name, expression)                              \
    template <class T, hipopt::IfAtomic<T> = 0>                      \
    inline HIPOPT_UNTRACED T name(T* p, hipopt::Value<T> v) {        \
        HIPOPT_ATOMIC_ACCESS(p);                                     \
        const T old = *p;                                            \
        *p = static_cast<T>(expression);                             \
        return old;                                                  \
    }                                                                \
    template <class T, hipopt::IfAtomic<T> = 0>                      \
    inline T name##_system(T* p, hipopt::Value<T> v) {               \
        return name(p, v);                                           \
    }                                                                \
    template <class T, hipopt::IfAtomic<T> = 0>                      \
    inline T name##_block(T* p, hipopt::Value<T> v) {                \
        return name(p, v);                                           \
    }

HIPOPT_ATOMIC(atomicAdd, old + v)
HIPOPT_ATOMIC(atomicSub, old - v)
HIPOPT_ATOMIC(atomicExch, v)
HIPOPT_ATOMIC(atomicMin, v < old ? v : old)
HIPOPT_ATOMIC(atomicMax, v > old ? v : old)
HIPOPT_ATOMIC(atomicAnd, old & v)
HIPOPT_ATOMIC(atomicOr, old | v)
HIPOPT_ATOMIC(atomicXor, old ^ v)
HIPOPT_ATOMIC(atomicInc, old >= v ? 0 : old + 1)
HIPOPT_ATOMIC(atomicDec, old == 0 || old > v ? v : old - 1)
HIPOPT_ATOMIC(unsafeAtomicAdd, old + v)
HIPOPT_ATOMIC(unsafeAtomicMin, v < old ? v : old)
HIPOPT_ATOMIC(unsafeAtomicMax, v > old ? v : old)
HIPOPT_ATOMIC(safeAtomicAdd, old + v)
HIPOPT_ATOMIC(atomicAddNoRet, old + v)
#undef HIPOPT_ATOMIC

template <class T>
inline HIPOPT_UNTRACED T atomicCAS(T* p, hipopt::Value<T> expected, hipopt::Value<T> desired) {
    HIPOPT_ATOMIC_ACCESS(p);
    const T old = *p;
    if (old == expected) *p = desired;
    return old;
}
template <class T>
inline T atomicCAS_system(T* p, hipopt::Value<T> expected, hipopt::Value<T> desired) {
    return atomicCAS(p, expected, desired);
}
template <class T>
inline T atomicCAS_block(T* p, hipopt::Value<T> expected, hipopt::Value<T> desired) {
    return atomicCAS(p, expected, desired);
}

#if !defined(__clang__)  // clang has these
#define HIPOPT_SCOPED(name, expression)                                            \
    template <class T>                                                             \
    inline HIPOPT_UNTRACED T __hip_atomic_##name(T* p, hipopt::Value<T> v, int order, int) { \
        if (order >= __ATOMIC_RELEASE) HIPOPT_FENCE();                             \
        HIPOPT_ATOMIC_ACCESS(p);                                                   \
        const T old = *p;                                                          \
        *p = static_cast<T>(expression);                                           \
        return old;                                                                \
    }
HIPOPT_SCOPED(fetch_add, old + v)
HIPOPT_SCOPED(fetch_sub, old - v)
HIPOPT_SCOPED(fetch_min, v < old ? v : old)
HIPOPT_SCOPED(fetch_max, v > old ? v : old)
HIPOPT_SCOPED(fetch_and, old & v)
HIPOPT_SCOPED(fetch_or, old | v)
HIPOPT_SCOPED(fetch_xor, old ^ v)
HIPOPT_SCOPED(exchange, v)
#undef HIPOPT_SCOPED

template <class T>
inline HIPOPT_UNTRACED T __hip_atomic_load(const T* p, int, int) {
    HIPOPT_ATOMIC_ACCESS(p);
    return *const_cast<const volatile T*>(p);
}
template <class T>
inline HIPOPT_UNTRACED void __hip_atomic_store(T* p, hipopt::Value<T> v, int order, int) {
    if (order >= __ATOMIC_RELEASE) HIPOPT_FENCE();
    HIPOPT_ATOMIC_ACCESS(p);
    *const_cast<volatile T*>(p) = v;
}
template <class T>
inline HIPOPT_UNTRACED bool __hip_atomic_compare_exchange_strong(T* p, T* expected,
                                                                 hipopt::Value<T> desired,
                                                                 int order, int, int) {
    if (order >= __ATOMIC_RELEASE) HIPOPT_FENCE();
    HIPOPT_ATOMIC_ACCESS(p);
    const T old = *p;
    if (old == *expected) {
        *p = desired;
        return true;
    }
    *expected = old;
    return false;
}
template <class T>
inline bool __hip_atomic_compare_exchange_weak(T* p, T* expected, hipopt::Value<T> desired, int a,
                                               int b, int c) {
    return __hip_atomic_compare_exchange_strong(p, expected, desired, a, b, c);
}
#endif

#endif
