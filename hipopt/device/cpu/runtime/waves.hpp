// Wave operations: 64 lanes exchange values, vote and wait for each other.
#ifndef HIPOPT_WAVES_HPP
#define HIPOPT_WAVES_HPP

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "execution.hpp"

inline unsigned __lane_id() { return hipopt::current % warpSize; }

namespace hipopt {

// The value that lane `source` of this wave passes; 0 where that lane does not take part.
template <class T>
inline T from_lane(T value, int source, int line) {
    static_assert(std::is_trivially_copyable_v<T>);
    std::uint64_t words[(sizeof(T) + 7) / 8] = {};
    std::memcpy(words, &value, sizeof(T));
    for (std::uint64_t& word : words) word = exchange(word, static_cast<unsigned>(source), line);
    std::memcpy(static_cast<void*>(&value), words, sizeof(T));
    return value;
}

inline int lane() { return static_cast<int>(__lane_id()); }

inline int source_up(unsigned delta, int width) {
    const int source = lane() - static_cast<int>(delta);
    return source < (lane() & ~(width - 1)) ? lane() : source;
}
inline int source_down(unsigned delta, int width) {
    const bool inside = static_cast<int>((lane() & (width - 1)) + delta) < width;
    return inside ? lane() + static_cast<int>(delta) : lane();
}
inline int source_xor(int mask, int width) {
    const int source = lane() ^ mask;
    return source >= ((lane() + width) & ~(width - 1)) ? lane() : source;
}

}  // namespace hipopt

#define HIPOPT_LINE int line = __builtin_LINE()

template <class T>
inline T __shfl(T v, int source, int width = warpSize, HIPOPT_LINE) {
    const int first = hipopt::lane() & ~(width - 1);
    return hipopt::from_lane(v, first + (source & (width - 1)), line);
}
template <class T>
inline T __shfl_up(T v, unsigned delta, int width = warpSize, HIPOPT_LINE) {
    return hipopt::from_lane(v, hipopt::source_up(delta, width), line);
}
template <class T>
inline T __shfl_down(T v, unsigned delta, int width = warpSize, HIPOPT_LINE) {
    return hipopt::from_lane(v, hipopt::source_down(delta, width), line);
}
template <class T>
inline T __shfl_xor(T v, int mask, int width = warpSize, HIPOPT_LINE) {
    return hipopt::from_lane(v, hipopt::source_xor(mask, width), line);
}
template <class M, class T>
inline T __shfl_sync(M, T v, int source, int width = warpSize, HIPOPT_LINE) {
    return __shfl(v, source, width, line);
}
template <class M, class T>
inline T __shfl_up_sync(M, T v, unsigned delta, int width = warpSize, HIPOPT_LINE) {
    return __shfl_up(v, delta, width, line);
}
template <class M, class T>
inline T __shfl_down_sync(M, T v, unsigned delta, int width = warpSize, HIPOPT_LINE) {
    return __shfl_down(v, delta, width, line);
}
template <class M, class T>
inline T __shfl_xor_sync(M, T v, int mask, int width = warpSize, HIPOPT_LINE) {
    return __shfl_xor(v, mask, width, line);
}

inline unsigned long long __ballot(int predicate, HIPOPT_LINE) {
    return hipopt::vote(predicate != 0, line).holding;
}
inline unsigned long long __ballot64(int predicate, HIPOPT_LINE) {
    return hipopt::vote(predicate != 0, line).holding;
}
inline int __any(int predicate, HIPOPT_LINE) {
    return hipopt::vote(predicate != 0, line).holding != 0;
}
inline int __all(int predicate, HIPOPT_LINE) {
    const hipopt::Vote votes = hipopt::vote(predicate != 0, line);
    return votes.holding == votes.active;
}
inline unsigned long long __activemask(HIPOPT_LINE) { return hipopt::vote(true, line).active; }
inline void __syncwarp(unsigned long long = ~0ull, HIPOPT_LINE) { hipopt::vote(true, line); }

// Of the lanes in the mask.
inline unsigned long long __ballot_sync(unsigned long long mask, int predicate, HIPOPT_LINE) {
    return hipopt::vote(predicate != 0, line).holding & mask;
}
inline int __any_sync(unsigned long long mask, int predicate, HIPOPT_LINE) {
    return (hipopt::vote(predicate != 0, line).holding & mask) != 0;
}
inline int __all_sync(unsigned long long mask, int predicate, HIPOPT_LINE) {
    const hipopt::Vote votes = hipopt::vote(predicate != 0, line);
    return (votes.holding & mask) == (votes.active & mask);
}

// The lanes that pass the same value as this one.
template <class T>
inline unsigned long long __match_any_sync(unsigned long long mask, T value, HIPOPT_LINE) {
    const hipopt::Vote votes = hipopt::vote(true, line);
    unsigned long long same = 0;
    for (int i = 0; i < warpSize; ++i) {
        const T other = hipopt::from_lane(value, i, line);
        if ((votes.active >> i & 1) && other == value) same |= 1ull << i;
    }
    return same & mask;
}
template <class T>
inline unsigned long long __match_any(T value, HIPOPT_LINE) {
    return __match_any_sync(~0ull, value, line);
}

// The masked reductions of newer HIP.
#define HIPOPT_REDUCE(name, expression)                                                   \
    template <class T>                                                                    \
    inline T __reduce_##name##_sync(unsigned long long mask, T value, HIPOPT_LINE) {      \
        const std::uint64_t lanes = hipopt::vote(true, line).active & mask;               \
        T a{};                                                                            \
        bool first = true;                                                                \
        for (int i = 0; i < warpSize; ++i) {                                              \
            const T b = hipopt::from_lane(value, i, line);                                \
            if (!(lanes >> i & 1)) continue;                                              \
            a = first ? b : static_cast<T>(expression);                                   \
            first = false;                                                                \
        }                                                                                 \
        return a;                                                                         \
    }
HIPOPT_REDUCE(add, a + b)
HIPOPT_REDUCE(min, b < a ? b : a)
HIPOPT_REDUCE(max, a < b ? b : a)
HIPOPT_REDUCE(and, a & b)
HIPOPT_REDUCE(or, a | b)
HIPOPT_REDUCE(xor, a ^ b)
#undef HIPOPT_REDUCE

#endif
