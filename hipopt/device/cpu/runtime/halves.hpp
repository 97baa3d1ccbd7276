// half and half2 (IEEE 754 binary16).
#ifndef HIPOPT_HALVES_HPP
#define HIPOPT_HALVES_HPP

#include <cstdint>
#include <type_traits>

#include "integers.hpp"

namespace hipopt {

#if defined(__FLT16_MANT_DIG__)
inline float half_to_float(std::uint16_t raw) { return static_cast<float>(bits<_Float16>(raw)); }
template <class T>
inline std::uint16_t to_half(T value) {
    return bits<std::uint16_t>(static_cast<_Float16>(value));
}
#else
inline float half_to_float(std::uint16_t raw) {
    const std::uint32_t sign = std::uint32_t{raw & 0x8000u} << 16, rest = raw & 0x7FFFu;
    if (rest >= 0x7C00u) return bits<float>(sign | 0x7F800000u | (rest & 0x3FFu) << 13);
    const float size = bits<float>(rest << 13) * 0x1p112f;
    return bits<float>(sign | bits<std::uint32_t>(size));
}
// Rounds to nearest even.
inline std::uint16_t to_half(double value) {
    const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000u : 0u);
    const double size = std::fabs(value);
    if (size != size) return sign | 0x7E00u;
    if (size >= 65520.0) return sign | 0x7C00u;
    int exponent = 0;
    std::frexp(size, &exponent);
    const int unit = exponent < -13 ? -24 : exponent - 11;
    const auto steps = static_cast<std::uint16_t>(std::nearbyint(std::ldexp(size, -unit)));
    return static_cast<std::uint16_t>(sign | (steps + ((unit + 24) << 10)));
}
#endif

template <class T>
using IfNumber = std::enable_if_t<std::is_arithmetic_v<T>, int>;

}  // namespace hipopt

struct __half_raw {
    unsigned short x;
};

struct __half {
    std::uint16_t raw;

    __half() = default;
    __half(__half_raw r) : raw(r.x) {}
    template <class T, hipopt::IfNumber<T> = 0>
    __half(T value) : raw(hipopt::to_half(value)) {}
#if defined(__FLT16_MANT_DIG__)
    __half(_Float16 value) : raw(hipopt::bits<std::uint16_t>(value)) {}
    operator _Float16() const { return hipopt::bits<_Float16>(raw); }
#endif
    operator __half_raw() const { return {raw}; }
    operator float() const { return hipopt::half_to_float(raw); }
    explicit operator bool() const { return (raw & 0x7FFFu) != 0; }
#define HIPOPT_TO(T) \
    explicit operator T() const { return static_cast<T>(hipopt::half_to_float(raw)); }
    HIPOPT_TO(double)
    HIPOPT_TO(int)
    HIPOPT_TO(unsigned)
    HIPOPT_TO(short)
    HIPOPT_TO(unsigned short)
    HIPOPT_TO(long)
    HIPOPT_TO(unsigned long)
    HIPOPT_TO(long long)
    HIPOPT_TO(unsigned long long)
#undef HIPOPT_TO
};
using half = __half;

// Arithmetic in float, rounded once: for one operation that is the correctly rounded result.
// Half and another number: computed as that number would be with a float.
#define HIPOPT_SMALL_FLOAT(Small)                                                              \
    inline Small operator-(Small a) {                                                          \
        a.raw ^= 0x8000u;                                                                      \
        return a;                                                                              \
    }                                                                                          \
    inline Small operator+(Small a) { return a; }                                              \
    HIPOPT_SMALL_OPERATION(Small, +)                                                           \
    HIPOPT_SMALL_OPERATION(Small, -)                                                           \
    HIPOPT_SMALL_OPERATION(Small, *)                                                           \
    HIPOPT_SMALL_OPERATION(Small, /)                                                           \
    HIPOPT_SMALL_COMPARISON(Small, ==)                                                         \
    HIPOPT_SMALL_COMPARISON(Small, !=)                                                         \
    HIPOPT_SMALL_COMPARISON(Small, <)                                                          \
    HIPOPT_SMALL_COMPARISON(Small, <=)                                                         \
    HIPOPT_SMALL_COMPARISON(Small, >)                                                          \
    HIPOPT_SMALL_COMPARISON(Small, >=)                                                         \
    inline Small& operator++(Small& a) { return a += Small(1.0f); }                            \
    inline Small& operator--(Small& a) { return a -= Small(1.0f); }
#define HIPOPT_SMALL_OPERATION(Small, op)                                                      \
    inline Small operator op(Small a, Small b) {                                               \
        return Small(static_cast<float>(a) op static_cast<float>(b));                          \
    }                                                                                          \
    template <class T, hipopt::IfNumber<T> = 0>                                                \
    inline auto operator op(Small a, T b) {                                                    \
        return static_cast<float>(a) op b;                                                     \
    }                                                                                          \
    template <class T, hipopt::IfNumber<T> = 0>                                                \
    inline auto operator op(T a, Small b) {                                                    \
        return a op static_cast<float>(b);                                                     \
    }                                                                                          \
    template <class T>                                                                         \
    inline Small& operator op##=(Small& a, T b) {                                              \
        return a = Small(static_cast<float>(a) op static_cast<float>(b));                      \
    }
#define HIPOPT_SMALL_COMPARISON(Small, op)                                                     \
    inline bool operator op(Small a, Small b) {                                                \
        return static_cast<float>(a) op static_cast<float>(b);                                 \
    }                                                                                          \
    template <class T, hipopt::IfNumber<T> = 0>                                                \
    inline bool operator op(Small a, T b) {                                                    \
        return static_cast<float>(a) op b;                                                     \
    }                                                                                          \
    template <class T, hipopt::IfNumber<T> = 0>                                                \
    inline bool operator op(T a, Small b) {                                                    \
        return a op static_cast<float>(b);                                                     \
    }
HIPOPT_SMALL_FLOAT(__half)

template <class Small>
struct alignas(4) HipoptPair {
    Small x, y;
    HipoptPair() = default;
    HipoptPair(Small a, Small b) : x(a), y(b) {}
    explicit HipoptPair(Small a) : x(a), y(a) {}
};
#define HIPOPT_PAIR_OPERATION(op)                                                              \
    template <class S>                                                                         \
    inline HipoptPair<S> operator op(HipoptPair<S> a, HipoptPair<S> b) {                       \
        return {a.x op b.x, a.y op b.y};                                                       \
    }                                                                                          \
    template <class S>                                                                         \
    inline HipoptPair<S>& operator op##=(HipoptPair<S>& a, HipoptPair<S> b) {                  \
        return a = a op b;                                                                     \
    }
HIPOPT_PAIR_OPERATION(+)
HIPOPT_PAIR_OPERATION(-)
HIPOPT_PAIR_OPERATION(*)
HIPOPT_PAIR_OPERATION(/)
#undef HIPOPT_PAIR_OPERATION
template <class S>
inline HipoptPair<S> operator-(HipoptPair<S> a) {
    return {-a.x, -a.y};
}

using __half2 = HipoptPair<__half>;
using half2 = __half2;

#endif
