// A few of clang's AMDGCN builtins.
#ifndef HIPOPT_AMDGCN_HPP
#define HIPOPT_AMDGCN_HPP

#include "waves.hpp"

inline void __builtin_amdgcn_s_barrier(int line = __builtin_LINE()) { __syncthreads(line); }
inline void __builtin_amdgcn_wave_barrier(int line = __builtin_LINE()) { __syncwarp(~0ull, line); }
#define __builtin_amdgcn_fence(...) HIPOPT_FENCE()
#define __builtin_amdgcn_sched_barrier(...) ((void)0)
#define __builtin_amdgcn_s_waitcnt(...) ((void)0)
#define __builtin_amdgcn_s_sleep(...) ((void)0)
#define __builtin_amdgcn_s_setprio(...) ((void)0)
inline unsigned __builtin_amdgcn_wavefrontsize() { return warpSize; }
inline unsigned __builtin_amdgcn_workitem_id_x() { return threadIdx.x; }
inline unsigned __builtin_amdgcn_workitem_id_y() { return threadIdx.y; }
inline unsigned __builtin_amdgcn_workitem_id_z() { return threadIdx.z; }
inline unsigned __builtin_amdgcn_workgroup_id_x() { return blockIdx.x; }
inline unsigned __builtin_amdgcn_workgroup_id_y() { return blockIdx.y; }
inline unsigned __builtin_amdgcn_workgroup_id_z() { return blockIdx.z; }
inline unsigned __builtin_amdgcn_workgroup_size_x() { return blockDim.x; }
inline float __builtin_amdgcn_rcpf(float x) { return 1.0f / x; }
inline double __builtin_amdgcn_rcp(double x) { return 1.0 / x; }
inline float __builtin_amdgcn_rsqf(float x) { return 1.0f / sqrtf(x); }
inline double __builtin_amdgcn_rsq(double x) { return 1.0 / std::sqrt(x); }
inline float __builtin_amdgcn_sqrtf(float x) { return sqrtf(x); }
inline float __builtin_amdgcn_exp2f(float x) { return exp2f(x); }
inline float __builtin_amdgcn_logf(float x) { return log2f(x); }
inline float __builtin_amdgcn_fmed3f(float a, float b, float c) {
    return fmaxf(fminf(a, b), fminf(fmaxf(a, b), c));
}
inline float __builtin_amdgcn_fractf(float x) { return x - floorf(x); }
inline unsigned __builtin_amdgcn_mbcnt_lo(unsigned mask, unsigned base) {
    const unsigned lane = __lane_id();
    const unsigned below = lane >= 32 ? ~0u : (1u << lane) - 1;
    return base + static_cast<unsigned>(__builtin_popcount(mask & below));
}
inline unsigned __builtin_amdgcn_mbcnt_hi(unsigned mask, unsigned base) {
    const unsigned lane = __lane_id();
    const unsigned below = lane <= 32 ? 0u : (1u << (lane - 32)) - 1;
    return base + static_cast<unsigned>(__builtin_popcount(mask & below));
}
inline int __builtin_amdgcn_readfirstlane(int value, int line = __builtin_LINE()) {
    const std::uint64_t active = hipopt::vote(true, line).active;
    return hipopt::from_lane(value, __builtin_ctzll(active), line);
}
inline int __builtin_amdgcn_readlane(int value, int lane, int line = __builtin_LINE()) {
    return hipopt::from_lane(value, lane & 63, line);
}
inline int __builtin_amdgcn_ds_bpermute(int address, int value, int line = __builtin_LINE()) {
    return hipopt::from_lane(value, address >> 2 & 63, line);
}
inline unsigned long long __builtin_amdgcn_ballot_w64(bool predicate,
                                                      int line = __builtin_LINE()) {
    return hipopt::vote(predicate, line).holding;
}
inline unsigned long long __builtin_amdgcn_read_exec(int line = __builtin_LINE()) {
    return hipopt::vote(true, line).active;
}

#endif
