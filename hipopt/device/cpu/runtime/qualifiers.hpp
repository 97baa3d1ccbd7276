// HIP's keywords and predefined macros.
#ifndef HIPOPT_QUALIFIERS_HPP
#define HIPOPT_QUALIFIERS_HPP

#define __HIP__ 1
#define __HIPCC__ 1
#define __HIP_PLATFORM_AMD__ 1
#define __HIP_PLATFORM_HCC__ 1
#define __HIP_DEVICE_COMPILE__ 1
#define __HIP_MEMORY_SCOPE_SINGLETHREAD 1
#define __HIP_MEMORY_SCOPE_WAVEFRONT 2
#define __HIP_MEMORY_SCOPE_WORKGROUP 3
#define __HIP_MEMORY_SCOPE_AGENT 4
#define __HIP_MEMORY_SCOPE_SYSTEM 5
#define __AMDGCN_WAVEFRONT_SIZE 64
#define __AMDGCN_WAVEFRONT_SIZE__ 64

#define __global__
#define __device__
#define __host__
#define __constant__
#define __managed__
#define __grid_constant__
#define __shared__ thread_local
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __forceinline__ inline
#define __inline_hint__ inline
// Empty, so that __attribute__((__noinline__)) in standard headers stays valid.
#define __noinline__
#define __align__(n) __attribute__((aligned(n)))
#define __restrict__ __restrict
#define __hip_pinned_shadow__

#define HIP_DYNAMIC_SHARED(type, name) extern __shared__ type name[];
#define HIP_DYNAMIC_SHARED_ATTRIBUTE
#define HIP_KERNEL_NAME(...) __VA_ARGS__
#define HIP_SYMBOL(x) x

#define hipThreadIdx_x threadIdx.x
#define hipThreadIdx_y threadIdx.y
#define hipThreadIdx_z threadIdx.z
#define hipBlockIdx_x blockIdx.x
#define hipBlockIdx_y blockIdx.y
#define hipBlockIdx_z blockIdx.z
#define hipBlockDim_x blockDim.x
#define hipBlockDim_y blockDim.y
#define hipBlockDim_z blockDim.z
#define hipGridDim_x gridDim.x
#define hipGridDim_y gridDim.y
#define hipGridDim_z gridDim.z

using uint = unsigned int;
using uchar = unsigned char;
using ushort = unsigned short;
using ulong = unsigned long;

// Host types that helpers mention; a kernel can't use them.
using hipStream_t = struct ihipStream_t*;
using hipError_t = int;
inline constexpr hipError_t hipSuccess = 0;

#undef assert
#ifdef NDEBUG
#define assert(condition) ((void)0)
#else
#define assert(condition) \
    ((condition) ? (void)0 : hipopt::assertion_failed(__LINE__))
#endif

inline void __trap() { __builtin_trap(); }
#define __assert_fail(...) hipopt::assertion_failed(__LINE__)

template <class T>
inline T __ldg(const T* p) {
    return *p;
}
template <class T>
inline T __ldcs(const T* p) {
    return *p;
}
template <class T>
inline T __ldcg(const T* p) {
    return *p;
}
template <class T>
inline T __ldca(const T* p) {
    return *p;
}
template <class T, class U>
inline void __stcs(T* p, U value) {
    *p = value;
}
template <class T, class U>
inline void __stcg(T* p, U value) {
    *p = value;
}
#if !defined(__clang__)  // clang has these
template <class T>
inline void __builtin_nontemporal_store(T value, T* p) {
    *p = value;
}
template <class T>
inline T __builtin_nontemporal_load(const T* p) {
    return *p;
}
#endif

inline long long clock64() {
#if defined(__x86_64__)
    return static_cast<long long>(__builtin_ia32_rdtsc());
#else
    long long ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#endif
}
inline long long wall_clock64() { return clock64(); }
inline long long __clock64() { return clock64(); }
inline void __nanosleep(unsigned) {}

#endif
