// Conversions and functions of half and bfloat16, scalars and pairs.
#ifndef HIPOPT_HALF_FUNCTIONS_HPP
#define HIPOPT_HALF_FUNCTIONS_HPP

#include "bfloat16.hpp"
#include "halves.hpp"
#include "maths.hpp"

inline __half __float2half(float x) { return __half(x); }
inline __half __float2half_rn(float x) { return __half(x); }
inline __half __double2half(double x) { return __half(x); }
inline float __half2float(__half x) { return static_cast<float>(x); }
inline __half2 __float2half2_rn(float x) { return __half2(__half(x)); }
inline __half2 __floats2half2_rn(float a, float b) { return {__half(a), __half(b)}; }
inline __half2 __float22half2_rn(float2 v) { return __floats2half2_rn(v.x, v.y); }
inline float2 __half22float2(__half2 v) {
    return {static_cast<float>(v.x), static_cast<float>(v.y)};
}
inline __half2 __half2half2(__half x) { return __half2(x); }
inline __half2 __halves2half2(__half a, __half b) { return {a, b}; }
inline __half2 make_half2(__half a, __half b) { return {a, b}; }
inline __half __low2half(__half2 v) { return v.x; }
inline __half __high2half(__half2 v) { return v.y; }
inline __half2 __low2half2(__half2 v) { return __half2(v.x); }
inline __half2 __high2half2(__half2 v) { return __half2(v.y); }
inline __half2 __lowhigh2highlow(__half2 v) { return {v.y, v.x}; }
inline __half2 __lows2half2(__half2 a, __half2 b) { return {a.x, b.x}; }
inline __half2 __highs2half2(__half2 a, __half2 b) { return {a.y, b.y}; }
inline float __low2float(__half2 v) { return static_cast<float>(v.x); }
inline float __high2float(__half2 v) { return static_cast<float>(v.y); }
inline unsigned short __half_as_ushort(__half x) { return x.raw; }
inline short __half_as_short(__half x) { return static_cast<short>(x.raw); }
inline __half __ushort_as_half(unsigned short x) { return __half_raw{x}; }
inline __half __short_as_half(short x) { return __half_raw{static_cast<unsigned short>(x)}; }
inline __half __int2half_rn(int x) { return __half(x); }
inline __half __uint2half_rn(unsigned x) { return __half(x); }
inline __half __short2half_rn(short x) { return __half(x); }
inline __half __ushort2half_rn(unsigned short x) { return __half(x); }
inline __half __ll2half_rn(long long x) { return __half(x); }
inline int __half2int_rn(__half x) { return __float2int_rn(x); }
inline int __half2int_rz(__half x) { return __float2int_rz(x); }
inline int __half2int_rd(__half x) { return __float2int_rd(x); }
inline int __half2int_ru(__half x) { return __float2int_ru(x); }
inline unsigned __half2uint_rz(__half x) { return __float2uint_rz(x); }
inline short __half2short_rz(__half x) { return static_cast<short>(__float2int_rz(x)); }

// Of pairs: one or zero for each, and whether it holds for both; `u` where a NaN makes it hold.
#define HIPOPT_COMPARISONS(S, P, NAME)                                                        \
    inline P __h##NAME##2(P a, P b) {                                                         \
        return {S(float(__h##NAME(a.x, b.x))), S(float(__h##NAME(a.y, b.y)))};                \
    }                                                                                         \
    inline bool __hb##NAME##2(P a, P b) { return __h##NAME(a.x, b.x) && __h##NAME(a.y, b.y); }\
    inline bool __h##NAME##u(S a, S b) { return a != a || b != b || __h##NAME(a, b); }

#define HIPOPT_FUNCTIONS(S, P)                                                                \
    inline S __hadd(S a, S b) { return a + b; }                                               \
    inline S __hsub(S a, S b) { return a - b; }                                               \
    inline S __hmul(S a, S b) { return a * b; }                                               \
    inline S __hdiv(S a, S b) { return a / b; }                                               \
    inline S __hneg(S a) { return -a; }                                                       \
    inline S __habs(S a) {                                                                    \
        a.raw &= 0x7FFFu;                                                                     \
        return a;                                                                             \
    }                                                                                         \
    inline S __hfma(S a, S b, S c) {                                                          \
        return S(std::fma(static_cast<double>(a), static_cast<double>(b),                     \
                          static_cast<double>(c)));                                           \
    }                                                                                         \
    inline S __hmax(S a, S b) { return S(fmaxf(a, b)); }                                      \
    inline S __hmin(S a, S b) { return S(fminf(a, b)); }                                      \
    inline bool __heq(S a, S b) { return a == b; }                                            \
    inline bool __hne(S a, S b) { return a != b; }                                            \
    inline bool __hlt(S a, S b) { return a < b; }                                             \
    inline bool __hle(S a, S b) { return a <= b; }                                            \
    inline bool __hgt(S a, S b) { return a > b; }                                             \
    inline bool __hge(S a, S b) { return a >= b; }                                            \
    inline bool __hisnan(S a) { return a != a; }                                              \
    inline int __hisinf(S a) { return std::isinf(static_cast<float>(a)); }                    \
    inline S hexp(S a) { return S(expf(a)); }                                                 \
    inline S hexp2(S a) { return S(exp2f(a)); }                                               \
    inline S hlog(S a) { return S(logf(a)); }                                                 \
    inline S hlog2(S a) { return S(log2f(a)); }                                               \
    inline S hsqrt(S a) { return S(sqrtf(a)); }                                               \
    inline S hrsqrt(S a) { return S(rsqrtf(a)); }                                             \
    inline S hrcp(S a) { return S(1.0f / static_cast<float>(a)); }                            \
    inline S hsin(S a) { return S(sinf(a)); }                                                 \
    inline S hcos(S a) { return S(cosf(a)); }                                                 \
    inline S hfloor(S a) { return S(floorf(a)); }                                             \
    inline S hceil(S a) { return S(ceilf(a)); }                                               \
    inline S htrunc(S a) { return S(truncf(a)); }                                             \
    inline S hrint(S a) { return S(nearbyintf(a)); }                                          \
    inline P __hadd2(P a, P b) { return a + b; }                                              \
    inline P __hsub2(P a, P b) { return a - b; }                                              \
    inline P __hmul2(P a, P b) { return a * b; }                                              \
    inline P __h2div(P a, P b) { return a / b; }                                              \
    inline P __hneg2(P a) { return -a; }                                                      \
    inline P __habs2(P a) { return {__habs(a.x), __habs(a.y)}; }                              \
    inline P __hfma2(P a, P b, P c) { return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)}; } \
    inline P __hmax2(P a, P b) { return {__hmax(a.x, b.x), __hmax(a.y, b.y)}; }               \
    inline P __hmin2(P a, P b) { return {__hmin(a.x, b.x), __hmin(a.y, b.y)}; }               \
    inline P h2exp(P a) { return {hexp(a.x), hexp(a.y)}; }                                    \
    inline P h2log(P a) { return {hlog(a.x), hlog(a.y)}; }                                    \
    inline P h2sqrt(P a) { return {hsqrt(a.x), hsqrt(a.y)}; }                                 \
    inline P h2rsqrt(P a) { return {hrsqrt(a.x), hrsqrt(a.y)}; }                              \
    inline P h2rcp(P a) { return {hrcp(a.x), hrcp(a.y)}; }                                    \
    inline S hipopt_saturated(S a) { return a > S(0.0f) ? (a < S(1.0f) ? a : S(1.0f)) : S(0.0f); }\
    inline P hipopt_saturated(P a) { return {hipopt_saturated(a.x), hipopt_saturated(a.y)}; } \
    inline S __hadd_sat(S a, S b) { return hipopt_saturated(a + b); }                         \
    inline S __hsub_sat(S a, S b) { return hipopt_saturated(a - b); }                         \
    inline S __hmul_sat(S a, S b) { return hipopt_saturated(a * b); }                         \
    inline S __hfma_sat(S a, S b, S c) { return hipopt_saturated(__hfma(a, b, c)); }          \
    inline P __hadd2_sat(P a, P b) { return hipopt_saturated(a + b); }                        \
    inline P __hsub2_sat(P a, P b) { return hipopt_saturated(a - b); }                        \
    inline P __hmul2_sat(P a, P b) { return hipopt_saturated(a * b); }                        \
    inline P __hfma2_sat(P a, P b, P c) { return hipopt_saturated(__hfma2(a, b, c)); }        \
    inline S __hmax_nan(S a, S b) { return a != a ? a : b != b ? b : __hmax(a, b); }          \
    inline S __hmin_nan(S a, S b) { return a != a ? a : b != b ? b : __hmin(a, b); }          \
    inline S hexp10(S a) { return S(exp10f(a)); }                                             \
    inline S hlog10(S a) { return S(log10f(a)); }                                             \
    inline P h2exp2(P a) { return {hexp2(a.x), hexp2(a.y)}; }                                 \
    inline P h2exp10(P a) { return {hexp10(a.x), hexp10(a.y)}; }                              \
    inline P h2log2(P a) { return {hlog2(a.x), hlog2(a.y)}; }                                 \
    inline P h2log10(P a) { return {hlog10(a.x), hlog10(a.y)}; }                              \
    inline P h2sin(P a) { return {hsin(a.x), hsin(a.y)}; }                                    \
    inline P h2cos(P a) { return {hcos(a.x), hcos(a.y)}; }                                    \
    inline P h2floor(P a) { return {hfloor(a.x), hfloor(a.y)}; }                              \
    inline P h2ceil(P a) { return {hceil(a.x), hceil(a.y)}; }                                 \
    inline P h2rint(P a) { return {hrint(a.x), hrint(a.y)}; }                                 \
    inline P h2trunc(P a) { return {htrunc(a.x), htrunc(a.y)}; }                              \
    HIPOPT_COMPARISONS(S, P, eq)                                                              \
    HIPOPT_COMPARISONS(S, P, ne)                                                              \
    HIPOPT_COMPARISONS(S, P, lt)                                                              \
    HIPOPT_COMPARISONS(S, P, le)                                                              \
    HIPOPT_COMPARISONS(S, P, gt)                                                              \
    HIPOPT_COMPARISONS(S, P, ge)                                                              \
    inline S atomicAdd(S* p, S v) {                                                           \
        const S old = *p;                                                                     \
        *p = old + v;                                                                         \
        return old;                                                                           \
    }                                                                                         \
    inline P atomicAdd(P* p, P v) {                                                           \
        const P old = *p;                                                                     \
        *p = old + v;                                                                         \
        return old;                                                                           \
    }                                                                                         \
    inline P unsafeAtomicAdd(P* p, P v) { return atomicAdd(p, v); }
HIPOPT_FUNCTIONS(__half, __half2)
HIPOPT_FUNCTIONS(__hip_bfloat16, __hip_bfloat162)
#undef HIPOPT_FUNCTIONS
#undef HIPOPT_COMPARISONS

#endif
