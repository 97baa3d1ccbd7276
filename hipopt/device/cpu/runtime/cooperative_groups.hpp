// Cooperative groups: the grid, the block, its tiles, the lanes that are together.
#ifndef HIPOPT_COOPERATIVE_GROUPS_HPP
#define HIPOPT_COOPERATIVE_GROUPS_HPP

#include "waves.hpp"

namespace cooperative_groups {

class thread_block {
public:
    static void sync(int line = __builtin_LINE()) { __syncthreads(line); }
    static unsigned thread_rank() { return hipopt::current; }
    static unsigned size() { return blockDim.x * blockDim.y * blockDim.z; }
    static unsigned num_threads() { return size(); }
    static dim3 group_index() { return blockIdx; }
    static dim3 thread_index() { return threadIdx; }
    static dim3 group_dim() { return blockDim; }
};

inline thread_block this_thread_block() { return {}; }

// The whole grid. Blocks run one after another, so that only a grid of one block can wait for all.
class grid_group {
public:
    static bool is_valid() { return num_blocks() == 1; }
    static void sync(int line = __builtin_LINE()) {
        if (!is_valid()) hipopt::assertion_failed(line);
        __syncthreads(line);
    }
    static unsigned long long block_rank() {
        return (1ull * blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    }
    static unsigned long long num_blocks() { return 1ull * gridDim.x * gridDim.y * gridDim.z; }
    static unsigned long long thread_rank() {
        return block_rank() * thread_block::size() + hipopt::current;
    }
    static unsigned long long size() { return num_blocks() * thread_block::size(); }
    static unsigned long long num_threads() { return size(); }
    static dim3 block_index() { return blockIdx; }
    static dim3 group_dim() { return gridDim; }
    static dim3 dim_blocks() { return gridDim; }
};

inline grid_group this_grid() { return {}; }

template <unsigned Size, class Parent = void>
class thread_block_tile {
    static_assert(Size >= 1 && Size <= 64 && (Size & (Size - 1)) == 0, "a power of two up to 64");
    static constexpr int width = static_cast<int>(Size);
    static constexpr unsigned long long lanes = Size == 64 ? ~0ull : (1ull << Size % 64) - 1;
    static unsigned shift() { return __lane_id() & ~(Size - 1); }

public:
    constexpr thread_block_tile() = default;
    template <class Other>  // Of whatever it is a part.
    constexpr thread_block_tile(const thread_block_tile<Size, Other>&) {}
    static void sync(int line = __builtin_LINE()) { __syncwarp(~0ull, line); }
    static unsigned thread_rank() { return hipopt::current % Size; }
    static constexpr unsigned size() { return Size; }
    static constexpr unsigned num_threads() { return Size; }
    static unsigned meta_group_rank() { return hipopt::current / Size; }
    static unsigned meta_group_size() { return (thread_block::size() + Size - 1) / Size; }
    template <class T>
    T shfl(T v, int source, int line = __builtin_LINE()) const {
        return __shfl(v, source, width, line);
    }
    template <class T>
    T shfl_up(T v, unsigned delta, int line = __builtin_LINE()) const {
        return __shfl_up(v, delta, width, line);
    }
    template <class T>
    T shfl_down(T v, unsigned delta, int line = __builtin_LINE()) const {
        return __shfl_down(v, delta, width, line);
    }
    template <class T>
    T shfl_xor(T v, unsigned mask, int line = __builtin_LINE()) const {
        return __shfl_xor(v, static_cast<int>(mask), width, line);
    }
    unsigned long long ballot(int predicate, int line = __builtin_LINE()) const {
        return __ballot(predicate, line) >> shift() & lanes;
    }
    int any(int predicate, int line = __builtin_LINE()) const {
        return ballot(predicate, line) != 0;
    }
    int all(int predicate, int line = __builtin_LINE()) const {
        const hipopt::Vote votes = hipopt::vote(predicate != 0, line);
        return ((votes.active & ~votes.holding) >> shift() & lanes) == 0;
    }
};

template <unsigned Size, class Parent>
inline thread_block_tile<Size, Parent> tiled_partition(const Parent&) {
    return {};
}

// A block or a tile whose kind is known at run time alone.
class thread_group {
    unsigned width_ = 0;  // Threads of the tile; 0: the block.

public:
    thread_group(const thread_block&) {}
    template <unsigned Size, class Parent>
    thread_group(const thread_block_tile<Size, Parent>&) : width_(Size) {}
    explicit thread_group(unsigned width) : width_(width) {}
    void sync(int line = __builtin_LINE()) const {
        if (width_ == 0)
            __syncthreads(line);
        else
            __syncwarp(~0ull, line);
    }
    unsigned size() const { return width_ == 0 ? thread_block::size() : width_; }
    unsigned num_threads() const { return size(); }
    unsigned thread_rank() const { return hipopt::current % size(); }
};

inline thread_group tiled_partition(const thread_group&, unsigned size) {
    return thread_group(size);
}

// The lanes that came to the same line together.
class coalesced_group {
    unsigned long long lanes_;

public:
    explicit coalesced_group(unsigned long long lanes) : lanes_(lanes) {}
    void sync(int line = __builtin_LINE()) const { __syncwarp(lanes_, line); }
    unsigned size() const { return static_cast<unsigned>(__builtin_popcountll(lanes_)); }
    unsigned num_threads() const { return size(); }
    unsigned thread_rank() const {
        return static_cast<unsigned>(
            __builtin_popcountll(lanes_ & ((1ull << __lane_id()) - 1)));
    }
    template <class T>
    T shfl(T v, unsigned rank, int line = __builtin_LINE()) const {
        unsigned long long left = lanes_;
        for (; rank > 0 && left != 0; --rank) left &= left - 1;
        return hipopt::from_lane(v, left == 0 ? hipopt::lane() : __builtin_ctzll(left), line);
    }
    int any(int predicate, int line = __builtin_LINE()) const {
        return __any_sync(lanes_, predicate, line);
    }
    int all(int predicate, int line = __builtin_LINE()) const {
        return __all_sync(lanes_, predicate, line);
    }
};

inline coalesced_group coalesced_threads(int line = __builtin_LINE()) {
    return coalesced_group(__activemask(line));
}

template <class T>
struct plus {
    T operator()(const T& a, const T& b) const { return a + b; }
};
template <class T>
struct less {
    T operator()(const T& a, const T& b) const { return b < a ? b : a; }
};
template <class T>
struct greater {
    T operator()(const T& a, const T& b) const { return a < b ? b : a; }
};
template <class T>
struct bit_and {
    T operator()(const T& a, const T& b) const { return a & b; }
};
template <class T>
struct bit_or {
    T operator()(const T& a, const T& b) const { return a | b; }
};
template <class T>
struct bit_xor {
    T operator()(const T& a, const T& b) const { return a ^ b; }
};

// What the operation makes of all lanes' values, the same in every lane of the tile.
template <unsigned Size, class Parent, class T, class Operation>
inline T reduce(const thread_block_tile<Size, Parent>& tile, T value, Operation operation,
                int line = __builtin_LINE()) {
    for (unsigned step = Size / 2; step > 0; step /= 2)
        value = operation(value, tile.shfl_xor(value, step, line));
    return value;
}

template <class Group>
inline void sync(const Group& group, int line = __builtin_LINE()) {
    group.sync(line);
}

}  // namespace cooperative_groups

#endif
