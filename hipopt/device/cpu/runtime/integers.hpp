// Integer intrinsics, bit casts and conversions with a rounding mode.
#ifndef HIPOPT_INTEGERS_HPP
#define HIPOPT_INTEGERS_HPP

#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace hipopt {

template <class To, class From>
inline To bits(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To result;
    std::memcpy(&result, &value, sizeof result);
    return result;
}

// Conversion as a GPU does it: NaN gives 0, out of range gives the nearest limit.
template <class To, class From>
inline To saturated(From value) {
    using Limits = std::numeric_limits<To>;
    if (value != value) return 0;
    if (value >= static_cast<From>(Limits::max())) return Limits::max();
    if (value <= static_cast<From>(Limits::min())) return Limits::min();
    return static_cast<To>(value);
}

// The integer nearest in the given direction: its float above or below, where inexact.
template <class To, class From>
inline To converted(From value, int rounding) {
    const To nearest = static_cast<To>(value);
    // Compared in the widest type that both fit into.
    const long double exact = value, got = nearest;
    if (rounding == FE_UPWARD && got < exact)
        return std::nextafter(nearest, std::numeric_limits<To>::infinity());
    if (rounding == FE_DOWNWARD && got > exact)
        return std::nextafter(nearest, -std::numeric_limits<To>::infinity());
    if (rounding == FE_TOWARDZERO && (got < 0 ? got < exact : got > exact))
        return std::nextafter(nearest, To{0});
    return nearest;
}

}  // namespace hipopt

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __clzll(long long x) {
    return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64;
}
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffs(unsigned x) { return __builtin_ffs(static_cast<int>(x)); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __ffsll(unsigned long long x) { return __builtin_ffsll(static_cast<long long>(x)); }
inline int __ffsll(unsigned long x) { return __builtin_ffsll(static_cast<long long>(x)); }
inline int __ffsll(long x) { return __builtin_ffsll(x); }

inline unsigned __brev(unsigned x) {
    x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
    x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
    x = (x >> 4 & 0x0F0F0F0Fu) | (x & 0x0F0F0F0Fu) << 4;
    return __builtin_bswap32(x);
}
inline unsigned long long __brevll(unsigned long long x) {
    return static_cast<unsigned long long>(__brev(static_cast<unsigned>(x))) << 32 |
           __brev(static_cast<unsigned>(x >> 32));
}
inline int __mul24(int a, int b) {
    return static_cast<int>(static_cast<unsigned>(a << 8 >> 8) *
                            static_cast<unsigned>(b << 8 >> 8));
}
inline unsigned __umul24(unsigned a, unsigned b) { return (a & 0xFFFFFFu) * (b & 0xFFFFFFu); }
inline int __mulhi(int a, int b) { return static_cast<int>(static_cast<long long>(a) * b >> 32); }
inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}
inline long long __mul64hi(long long a, long long b) {
    return static_cast<long long>(static_cast<__int128>(a) * b >> 64);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}
inline int __hadd(int a, int b) { return static_cast<int>((static_cast<long long>(a) + b) >> 1); }
inline int __rhadd(int a, int b) {
    return static_cast<int>((static_cast<long long>(a) + b + 1) >> 1);
}
inline unsigned __uhadd(unsigned a, unsigned b) { return (a & b) + ((a ^ b) >> 1); }
inline unsigned __urhadd(unsigned a, unsigned b) { return (a | b) - ((a ^ b) >> 1); }
inline unsigned __sad(int a, int b, unsigned c) {
    const long long d = static_cast<long long>(a) - b;
    return static_cast<unsigned>(d < 0 ? -d : d) + c;
}
inline unsigned __usad(unsigned a, unsigned b, unsigned c) { return (a < b ? b - a : a - b) + c; }

inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
    const unsigned long long both = static_cast<unsigned long long>(y) << 32 | x;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i)
        result |= static_cast<unsigned>(both >> (selector >> 4 * i & 7) * 8 & 0xFF) << 8 * i;
    return result;
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned n) {
    const unsigned long long both = static_cast<unsigned long long>(high) << 32 | low;
    return static_cast<unsigned>(both << (n & 31) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned n) {
    const unsigned long long both = static_cast<unsigned long long>(high) << 32 | low;
    return static_cast<unsigned>(both >> (n & 31));
}
inline unsigned __bitextract_u32(unsigned x, unsigned offset, unsigned width) {
    offset &= 31, width &= 31;
    return width == 0 ? 0 : x >> offset & ((1u << width) - 1);
}
inline unsigned __bitinsert_u32(unsigned x, unsigned y, unsigned offset, unsigned width) {
    offset &= 31, width &= 31;
    const unsigned mask = (1u << width) - 1;
    return (x & ~(mask << offset)) | (y & mask) << offset;
}

inline int __float_as_int(float x) { return hipopt::bits<int>(x); }
inline unsigned __float_as_uint(float x) { return hipopt::bits<unsigned>(x); }
inline float __int_as_float(int x) { return hipopt::bits<float>(x); }
inline float __uint_as_float(unsigned x) { return hipopt::bits<float>(x); }
inline long long __double_as_longlong(double x) { return hipopt::bits<long long>(x); }
inline double __longlong_as_double(long long x) { return hipopt::bits<double>(x); }
inline unsigned long long __double_as_ulonglong(double x) {
    return hipopt::bits<unsigned long long>(x);
}
inline double __ulonglong_as_double(unsigned long long x) { return hipopt::bits<double>(x); }
inline int __double2hiint(double x) {
    return static_cast<int>(hipopt::bits<unsigned long long>(x) >> 32);
}
inline int __double2loint(double x) { return static_cast<int>(hipopt::bits<long long>(x)); }
inline double __hiloint2double(int high, int low) {
    return hipopt::bits<double>(static_cast<unsigned long long>(static_cast<unsigned>(high)) << 32 |
                                static_cast<unsigned>(low));
}

#define HIPOPT_TO_INTEGER(from, source, to, target)                                         \
    inline target __##from##2##to##_rn(source x) {                                          \
        return hipopt::saturated<target>(std::nearbyint(x));                                \
    }                                                                                       \
    inline target __##from##2##to##_rz(source x) {                                          \
        return hipopt::saturated<target>(std::trunc(x));                                    \
    }                                                                                       \
    inline target __##from##2##to##_rd(source x) {                                          \
        return hipopt::saturated<target>(std::floor(x));                                    \
    }                                                                                       \
    inline target __##from##2##to##_ru(source x) {                                          \
        return hipopt::saturated<target>(std::ceil(x));                                     \
    }
HIPOPT_TO_INTEGER(float, float, int, int)
HIPOPT_TO_INTEGER(float, float, uint, unsigned)
HIPOPT_TO_INTEGER(float, float, ll, long long)
HIPOPT_TO_INTEGER(float, float, ull, unsigned long long)
HIPOPT_TO_INTEGER(double, double, int, int)
HIPOPT_TO_INTEGER(double, double, uint, unsigned)
HIPOPT_TO_INTEGER(double, double, ll, long long)
HIPOPT_TO_INTEGER(double, double, ull, unsigned long long)
#undef HIPOPT_TO_INTEGER

#define HIPOPT_ROUNDED(from, source, to, target)                                            \
    inline target __##from##2##to##_rn(source x) { return static_cast<target>(x); }         \
    inline target __##from##2##to##_rz(source x) {                                          \
        return hipopt::converted<target>(x, FE_TOWARDZERO);                                 \
    }                                                                                       \
    inline target __##from##2##to##_rd(source x) {                                          \
        return hipopt::converted<target>(x, FE_DOWNWARD);                                   \
    }                                                                                       \
    inline target __##from##2##to##_ru(source x) {                                          \
        return hipopt::converted<target>(x, FE_UPWARD);                                     \
    }
HIPOPT_ROUNDED(int, int, float, float)
HIPOPT_ROUNDED(uint, unsigned, float, float)
HIPOPT_ROUNDED(ll, long long, float, float)
HIPOPT_ROUNDED(ull, unsigned long long, float, float)
HIPOPT_ROUNDED(ll, long long, double, double)
HIPOPT_ROUNDED(ull, unsigned long long, double, double)
HIPOPT_ROUNDED(double, double, float, float)
#undef HIPOPT_ROUNDED
inline double __int2double_rn(int x) { return x; }
inline double __uint2double_rn(unsigned x) { return x; }

#endif
