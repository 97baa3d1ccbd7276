// HIP's vector types: float2 ... double4 with members, constructors, make_* and operators.
#ifndef HIPOPT_VECTORS_HPP
#define HIPOPT_VECTORS_HPP

#include <type_traits>

namespace hipopt {

template <class T, int N>
struct Vector;

template <class T>
struct Vector<T, 1> {
    T x;
    Vector() = default;
    template <class U, std::enable_if_t<std::is_convertible_v<U, T>, int> = 0>
    constexpr Vector(U a) : x(static_cast<T>(a)) {}
    T& operator[](int) { return x; }
    const T& operator[](int) const { return x; }
};

template <class T>
struct alignas(2 * sizeof(T)) Vector<T, 2> {
    T x, y;
    Vector() = default;
    template <class U, std::enable_if_t<std::is_convertible_v<U, T>, int> = 0>
    constexpr Vector(U a) : x(static_cast<T>(a)), y(static_cast<T>(a)) {}
    template <class U, class V>
    constexpr Vector(U a, V b) : x(static_cast<T>(a)), y(static_cast<T>(b)) {}
    T& operator[](int i) { return (&x)[i]; }
    const T& operator[](int i) const { return (&x)[i]; }
};

template <class T>
struct Vector<T, 3> {
    T x, y, z;
    Vector() = default;
    template <class U, std::enable_if_t<std::is_convertible_v<U, T>, int> = 0>
    constexpr Vector(U a) : x(static_cast<T>(a)), y(static_cast<T>(a)), z(static_cast<T>(a)) {}
    template <class U, class V, class W>
    constexpr Vector(U a, V b, W c)
        : x(static_cast<T>(a)), y(static_cast<T>(b)), z(static_cast<T>(c)) {}
    T& operator[](int i) { return (&x)[i]; }
    const T& operator[](int i) const { return (&x)[i]; }
};

template <class T>
struct alignas(4 * sizeof(T)) Vector<T, 4> {
    T x, y, z, w;
    Vector() = default;
    template <class U, std::enable_if_t<std::is_convertible_v<U, T>, int> = 0>
    constexpr Vector(U a)
        : x(static_cast<T>(a)), y(static_cast<T>(a)), z(static_cast<T>(a)), w(static_cast<T>(a)) {}
    template <class U, class V, class W, class X>
    constexpr Vector(U a, V b, W c, X d)
        : x(static_cast<T>(a)), y(static_cast<T>(b)), z(static_cast<T>(c)), w(static_cast<T>(d)) {}
    T& operator[](int i) { return (&x)[i]; }
    const T& operator[](int i) const { return (&x)[i]; }
};

template <class T, class U>
using IfScalar = std::enable_if_t<std::is_arithmetic_v<U> && std::is_convertible_v<U, T>, int>;

#define HIPOPT_BINARY(op)                                                                \
    template <class T, int N>                                                            \
    inline Vector<T, N>& operator op##=(Vector<T, N>& a, const Vector<T, N>& b) {        \
        for (int i = 0; i < N; ++i) a[i] = static_cast<T>(a[i] op b[i]);                 \
        return a;                                                                        \
    }                                                                                    \
    template <class T, int N, class U, IfScalar<T, U> = 0>                               \
    inline Vector<T, N>& operator op##=(Vector<T, N>& a, U b) {                          \
        for (int i = 0; i < N; ++i) a[i] = static_cast<T>(a[i] op static_cast<T>(b));    \
        return a;                                                                        \
    }                                                                                    \
    template <class T, int N>                                                            \
    inline Vector<T, N> operator op(Vector<T, N> a, const Vector<T, N>& b) {             \
        return a op##= b;                                                               \
    }                                                                                    \
    template <class T, int N, class U, IfScalar<T, U> = 0>                               \
    inline Vector<T, N> operator op(Vector<T, N> a, U b) {                               \
        return a op##= b;                                                               \
    }                                                                                    \
    template <class T, int N, class U, IfScalar<T, U> = 0>                               \
    inline Vector<T, N> operator op(U a, const Vector<T, N>& b) {                        \
        Vector<T, N> all(static_cast<T>(a));                                             \
        return all op##= b;                                                              \
    }

HIPOPT_BINARY(+)
HIPOPT_BINARY(-)
HIPOPT_BINARY(*)
HIPOPT_BINARY(/)
HIPOPT_BINARY(%)
HIPOPT_BINARY(&)
HIPOPT_BINARY(|)
HIPOPT_BINARY(^)
HIPOPT_BINARY(<<)
HIPOPT_BINARY(>>)
#undef HIPOPT_BINARY

#define HIPOPT_STEP(op)                                    \
    template <class T, int N>                              \
    inline Vector<T, N>& operator op(Vector<T, N>& a) {    \
        for (int i = 0; i < N; ++i) op a[i];               \
        return a;                                          \
    }                                                      \
    template <class T, int N>                              \
    inline Vector<T, N> operator op(Vector<T, N>& a, int) { \
        const Vector<T, N> old = a;                        \
        op a;                                              \
        return old;                                        \
    }

HIPOPT_STEP(++)
HIPOPT_STEP(--)
#undef HIPOPT_STEP

template <class T, int N>
inline Vector<T, N> operator-(Vector<T, N> a) {
    for (int i = 0; i < N; ++i) a[i] = static_cast<T>(-a[i]);
    return a;
}

template <class T, int N>
inline Vector<T, N> operator+(const Vector<T, N>& a) {
    return a;
}

template <class T, int N>
inline Vector<T, N> operator~(Vector<T, N> a) {
    for (int i = 0; i < N; ++i) a[i] = static_cast<T>(~a[i]);
    return a;
}

template <class T, int N>
inline bool operator==(const Vector<T, N>& a, const Vector<T, N>& b) {
    for (int i = 0; i < N; ++i)
        if (!(a[i] == b[i])) return false;
    return true;
}

template <class T, int N>
inline bool operator!=(const Vector<T, N>& a, const Vector<T, N>& b) {
    return !(a == b);
}

}  // namespace hipopt

#define HIPOPT_VECTOR_TYPES(name, T)                                                         \
    using name##1 = hipopt::Vector<T, 1>;                                                    \
    using name##2 = hipopt::Vector<T, 2>;                                                    \
    using name##3 = hipopt::Vector<T, 3>;                                                    \
    using name##4 = hipopt::Vector<T, 4>;                                                    \
    inline constexpr name##1 make_##name##1(T x) { return name##1(x); }                      \
    inline constexpr name##2 make_##name##2(T x, T y) { return name##2(x, y); }              \
    inline constexpr name##3 make_##name##3(T x, T y, T z) { return name##3(x, y, z); }      \
    inline constexpr name##4 make_##name##4(T x, T y, T z, T w) { return name##4(x, y, z, w); }

HIPOPT_VECTOR_TYPES(char, signed char)
HIPOPT_VECTOR_TYPES(uchar, unsigned char)
HIPOPT_VECTOR_TYPES(short, short)
HIPOPT_VECTOR_TYPES(ushort, unsigned short)
HIPOPT_VECTOR_TYPES(int, int)
HIPOPT_VECTOR_TYPES(uint, unsigned int)
HIPOPT_VECTOR_TYPES(long, long)
HIPOPT_VECTOR_TYPES(ulong, unsigned long)
HIPOPT_VECTOR_TYPES(longlong, long long)
HIPOPT_VECTOR_TYPES(ulonglong, unsigned long long)
HIPOPT_VECTOR_TYPES(float, float)
HIPOPT_VECTOR_TYPES(double, double)
#undef HIPOPT_VECTOR_TYPES

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
    constexpr dim3(const uint3& v) : x(v.x), y(v.y), z(v.z) {}
    constexpr operator uint3() const { return uint3(x, y, z); }
};

#endif
