// bfloat16: a float's upper 16 bits, rounded to nearest even.
#ifndef HIPOPT_BFLOAT16_HPP
#define HIPOPT_BFLOAT16_HPP

#include "halves.hpp"

namespace hipopt {

inline std::uint16_t to_bfloat16(float value) {
    const auto raw = bits<std::uint32_t>(value);
    if (value != value) return static_cast<std::uint16_t>(raw >> 16 | 0x40u);
    return static_cast<std::uint16_t>((raw + 0x7FFFu + (raw >> 16 & 1u)) >> 16);
}

}  // namespace hipopt

struct __hip_bfloat16_raw {
    unsigned short x;
};

struct __hip_bfloat16 {
    union {
        std::uint16_t raw;
        std::uint16_t data;
    };

    __hip_bfloat16() = default;
    __hip_bfloat16(__hip_bfloat16_raw r) : raw(r.x) {}
    template <class T, hipopt::IfNumber<T> = 0>
    __hip_bfloat16(T value) : raw(hipopt::to_bfloat16(static_cast<float>(value))) {}
    operator __hip_bfloat16_raw() const { return {raw}; }
    operator float() const { return hipopt::bits<float>(static_cast<std::uint32_t>(raw) << 16); }
    explicit operator bool() const { return (raw & 0x7FFFu) != 0; }
    explicit operator double() const { return static_cast<float>(*this); }
    explicit operator int() const { return static_cast<int>(static_cast<float>(*this)); }
    explicit operator unsigned() const { return static_cast<unsigned>(static_cast<float>(*this)); }
};
using hip_bfloat16 = __hip_bfloat16;
using __nv_bfloat16 = __hip_bfloat16;
using nv_bfloat16 = __hip_bfloat16;
HIPOPT_SMALL_FLOAT(__hip_bfloat16)

using __hip_bfloat162 = HipoptPair<__hip_bfloat16>;
using hip_bfloat162 = __hip_bfloat162;
using __nv_bfloat162 = __hip_bfloat162;

inline __hip_bfloat16 __float2bfloat16(float x) { return __hip_bfloat16(x); }
inline __hip_bfloat16 __float2bfloat16_rn(float x) { return __hip_bfloat16(x); }
inline __hip_bfloat16 __double2bfloat16(double x) { return __hip_bfloat16(x); }
inline __hip_bfloat16 __int2bfloat16_rn(int x) { return __hip_bfloat16(x); }
inline float __bfloat162float(__hip_bfloat16 x) { return static_cast<float>(x); }
inline __hip_bfloat162 __float2bfloat162_rn(float x) { return __hip_bfloat162(__hip_bfloat16(x)); }
inline __hip_bfloat162 __floats2bfloat162_rn(float a, float b) {
    return {__hip_bfloat16(a), __hip_bfloat16(b)};
}
inline __hip_bfloat162 __float22bfloat162_rn(float2 v) { return __floats2bfloat162_rn(v.x, v.y); }
inline float2 __bfloat1622float2(__hip_bfloat162 v) {
    return {static_cast<float>(v.x), static_cast<float>(v.y)};
}
inline __hip_bfloat162 __bfloat162bfloat162(__hip_bfloat16 x) { return __hip_bfloat162(x); }
inline __hip_bfloat162 __halves2bfloat162(__hip_bfloat16 a, __hip_bfloat16 b) { return {a, b}; }
inline __hip_bfloat162 make_bfloat162(__hip_bfloat16 a, __hip_bfloat16 b) { return {a, b}; }
inline __hip_bfloat16 __low2bfloat16(__hip_bfloat162 v) { return v.x; }
inline __hip_bfloat16 __high2bfloat16(__hip_bfloat162 v) { return v.y; }
inline float __low2float(__hip_bfloat162 v) { return static_cast<float>(v.x); }
inline float __high2float(__hip_bfloat162 v) { return static_cast<float>(v.y); }
inline unsigned short __bfloat16_as_ushort(__hip_bfloat16 x) { return x.raw; }
inline short __bfloat16_as_short(__hip_bfloat16 x) { return static_cast<short>(x.raw); }
inline __hip_bfloat16 __ushort_as_bfloat16(unsigned short x) { return __hip_bfloat16_raw{x}; }
inline __hip_bfloat16 __short_as_bfloat16(short x) {
    return __hip_bfloat16_raw{static_cast<unsigned short>(x)};
}

#endif
