// Where a thread stands in its grid, and the points at which it waits for others.
//
// Threads run one after another on one OS thread. A thread that waits is parked with its fiber;
// see scheduler.cpp. `line` is the source line of the call: the identity of a waiting point.
#ifndef HIPOPT_EXECUTION_HPP
#define HIPOPT_EXECUTION_HPP

#include <cstdint>

#include "tracing.hpp"
#include "vectors.hpp"

inline constexpr int warpSize = 64;

// HIP's coordinates of the running thread; the scheduler keeps them true.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;

namespace hipopt {

// The threads of the running wave that have not been started.
struct Cursor {
    uint3 thread;
    unsigned index;
    unsigned end;
};

extern Cursor cursor;
extern unsigned current;  // Index of the running thread in its block.

// Makes the wave's next thread the running one; false where all have been started.
inline HIPOPT_UNTRACED bool start_next_thread() {
    if (cursor.index == cursor.end) return false;
    current = cursor.index++;
    threadIdx = cursor.thread;
    if (++cursor.thread.x == blockDim.x) {
        cursor.thread.x = 0;
        if (++cursor.thread.y == blockDim.y) {
            cursor.thread.y = 0;
            ++cursor.thread.z;
        }
    }
    return true;
}

struct Count {
    unsigned holding;  // Threads whose predicate held.
    unsigned waiting;  // Threads that came to the barrier.
};

struct Vote {
    std::uint64_t holding;  // Lanes whose predicate held.
    std::uint64_t active;   // Lanes that voted.
};

// Returns when all live threads of the block have come to a barrier.
Count barrier(bool predicate, int line);
// Returns when the lanes of this wave have come to the same line; the value of lane `source`.
std::uint64_t exchange(std::uint64_t value, unsigned source, int line);
// Returns when the lanes of this wave have come to the same line; how they voted.
Vote vote(bool predicate, int line);
// Ends the process: an assertion of the kernel does not hold.
[[noreturn]] void assertion_failed(int line);

}  // namespace hipopt

inline void __syncthreads(int line = __builtin_LINE()) { hipopt::barrier(false, line); }
inline int __syncthreads_count(int predicate, int line = __builtin_LINE()) {
    return static_cast<int>(hipopt::barrier(predicate != 0, line).holding);
}
inline int __syncthreads_or(int predicate, int line = __builtin_LINE()) {
    return hipopt::barrier(predicate != 0, line).holding != 0;
}
inline int __syncthreads_and(int predicate, int line = __builtin_LINE()) {
    const hipopt::Count count = hipopt::barrier(predicate != 0, line);
    return count.holding == count.waiting;
}
inline void __threadfence() { HIPOPT_FENCE(); }
inline void __threadfence_block() { HIPOPT_FENCE(); }
inline void __threadfence_system() { HIPOPT_FENCE(); }

#endif
