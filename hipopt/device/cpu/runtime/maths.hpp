// Device mathematics. Fast variants are computed as the accurate ones.
#ifndef HIPOPT_MATHS_HPP
#define HIPOPT_MATHS_HPP

#include <math.h>

#include <cmath>
#include <type_traits>

#define HIP_INF_F __builtin_inff()
#define HIP_INF __builtin_inf()
#define HIP_NAN_F __builtin_nanf("")
#define HIP_NAN __builtin_nan("")
#define HIPRT_INF_F HIP_INF_F
#define HIPRT_NAN_F HIP_NAN_F
#define HIPRT_MIN_DENORM_F 1.4012984643e-45f
#define HIPRT_MAX_NORMAL_F 3.402823466e+38f
#define HIPRT_NEG_ZERO_F -0.0f
#define HIPRT_ZERO_F 0.0f
#define HIPRT_ONE_F 1.0f
#define HIPRT_INF HIP_INF
#define HIPRT_NAN HIP_NAN
#define HIP_PI_F 3.14159265358979323846f
#define HIP_PI 3.14159265358979323846
#define CUDART_INF_F HIP_INF_F
#define CUDART_INF HIP_INF
#define CUDART_NAN_F HIP_NAN_F
#define CUDART_NAN HIP_NAN
#define CUDART_PI_F HIP_PI_F
#define CUDART_PI HIP_PI

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
template <class T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
inline double rsqrt(T x) { return rsqrt(static_cast<double>(x)); }
inline float rcbrtf(float x) { return 1.0f / cbrtf(x); }
inline double rcbrt(double x) { return 1.0 / std::cbrt(x); }
inline float sinpif(float x) { return static_cast<float>(std::sin(HIP_PI * std::fmod(x, 2.0))); }
inline float cospif(float x) { return static_cast<float>(std::cos(HIP_PI * std::fmod(x, 2.0))); }
inline double sinpi(double x) { return std::sin(HIP_PI * std::fmod(x, 2.0)); }
inline double cospi(double x) { return std::cos(HIP_PI * std::fmod(x, 2.0)); }
inline void sincospif(float x, float* s, float* c) { *s = sinpif(x), *c = cospif(x); }
inline void sincospi(double x, double* s, double* c) { *s = sinpi(x), *c = cospi(x); }
inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678118654752f); }
inline double normcdf(double x) { return 0.5 * std::erfc(-x * 0.70710678118654752440); }
inline double erfcx(double x) { return std::exp(x * x) * std::erfc(x); }
inline float erfcxf(float x) { return static_cast<float>(erfcx(x)); }
inline float fdividef(float a, float b) { return a / b; }
inline float norm3df(float a, float b, float c) { return sqrtf(a * a + b * b + c * c); }
inline double norm3d(double a, double b, double c) { return std::sqrt(a * a + b * b + c * c); }
inline float norm4df(float a, float b, float c, float d) {
    return sqrtf(a * a + b * b + c * c + d * d);
}
inline double norm4d(double a, double b, double c, double d) {
    return std::sqrt(a * a + b * b + c * c + d * d);
}
inline double norm(int count, const double* p) {
    double sum = 0.0;
    for (int i = 0; i < count; ++i) sum += p[i] * p[i];
    return std::sqrt(sum);
}
inline float normf(int count, const float* p) {
    float sum = 0.0f;
    for (int i = 0; i < count; ++i) sum += p[i] * p[i];
    return sqrtf(sum);
}
inline float rnormf(int count, const float* p) { return 1.0f / normf(count, p); }
inline double rnorm(int count, const double* p) { return 1.0 / norm(count, p); }
inline double rnorm3d(double a, double b, double c) { return 1.0 / norm3d(a, b, c); }
inline double rnorm4d(double a, double b, double c, double d) { return 1.0 / norm4d(a, b, c, d); }
inline float rnorm4df(float a, float b, float c, float d) { return 1.0f / norm4df(a, b, c, d); }
inline double rhypot(double a, double b) { return 1.0 / std::hypot(a, b); }
inline double cyl_bessel_i0(double x) { return std::cyl_bessel_i(0.0, std::fabs(x)); }
inline double cyl_bessel_i1(double x) {
    return std::copysign(std::cyl_bessel_i(1.0, std::fabs(x)), x);
}
inline float cyl_bessel_i0f(float x) { return static_cast<float>(cyl_bessel_i0(x)); }
inline float cyl_bessel_i1f(float x) { return static_cast<float>(cyl_bessel_i1(x)); }

// The x whose erfc is y, from Winitzki's first guess by Halley's steps on the smaller tail.
inline double erfcinv(double y) {
    if (!(y > 0.0 && y < 2.0)) return y == 0.0 ? HIP_INF : y == 2.0 ? -HIP_INF : HIP_NAN;
    const double tail = y < 1.0 ? y : 2.0 - y;
    const double log = std::log(tail * (2.0 - tail));
    const double half = 2.0 / (HIP_PI * 0.147) + 0.5 * log;
    double x = std::sqrt(std::sqrt(half * half - log / 0.147) - half);
    for (int step = 0; step < 3; ++step) {
        const double off = (std::erfc(x) - tail) / (-1.12837916709551257390 * std::exp(-x * x));
        if (off == off) x -= off / (1.0 + x * off);
    }
    return y < 1.0 ? x : -x;
}
inline double erfinv(double y) {
    if (std::fabs(y) > 0.25) return y > 0.0 ? erfcinv(1.0 - y) : -erfcinv(1.0 + y);
    double x = 0.88622692545275801365 * y;
    for (int step = 0; step < 4; ++step) {
        const double off = (std::erf(x) - y) / (1.12837916709551257390 * std::exp(-x * x));
        x -= off / (1.0 + x * off);
    }
    return y == y ? x : HIP_NAN;
}
inline float erfcinvf(float y) { return static_cast<float>(erfcinv(y)); }
inline float erfinvf(float y) { return static_cast<float>(erfinv(y)); }
inline double normcdfinv(double p) { return -1.41421356237309504880 * erfcinv(2.0 * p); }
inline float normcdfinvf(float p) { return static_cast<float>(normcdfinv(p)); }

inline float rhypotf(float a, float b) { return 1.0f / hypotf(a, b); }
inline float rnorm3df(float a, float b, float c) { return 1.0f / norm3df(a, b, c); }
inline float powif(float x, int n) { return __builtin_powif(x, n); }
inline double powi(double x, int n) { return __builtin_powi(x, n); }

inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
inline float __expf(float x) { return expf(x); }
inline float __exp10f(float x) { return exp10f(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __log10f(float x) { return log10f(x); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __tanf(float x) { return tanf(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __fdividef(float a, float b) { return a / b; }
inline void __sincosf(float x, float* s, float* c) { *s = sinf(x), *c = cosf(x); }
inline float __frsqrt_rn(float x) { return rsqrtf(x); }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double x) { return std::sqrt(x); }
inline double __drcp_rn(double x) { return 1.0 / x; }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }

#define HIPOPT_MIN_MAX(T)                                  \
    inline constexpr T min(T a, T b) { return b < a ? b : a; } \
    inline constexpr T max(T a, T b) { return a < b ? b : a; }
HIPOPT_MIN_MAX(int)
HIPOPT_MIN_MAX(unsigned)
HIPOPT_MIN_MAX(long)
HIPOPT_MIN_MAX(unsigned long)
HIPOPT_MIN_MAX(long long)
HIPOPT_MIN_MAX(unsigned long long)
#undef HIPOPT_MIN_MAX
// Of floating-point numbers the one that is no NaN, as fmin and fmax.
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

namespace hipopt {
template <class A, class B>
using Mixed = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B> &&
                                   !std::is_same_v<A, B>,
                               std::common_type_t<A, B>>;
}

template <class A, class B>
inline constexpr hipopt::Mixed<A, B> min(A a, B b) {
    using C = hipopt::Mixed<A, B>;
    return min(static_cast<C>(a), static_cast<C>(b));
}
template <class A, class B>
inline constexpr hipopt::Mixed<A, B> max(A a, B b) {
    using C = hipopt::Mixed<A, B>;
    return max(static_cast<C>(a), static_cast<C>(b));
}
inline unsigned umin(unsigned a, unsigned b) { return min(a, b); }
inline unsigned umax(unsigned a, unsigned b) { return max(a, b); }

#endif
