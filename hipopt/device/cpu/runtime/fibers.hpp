// Stacks that threads run on while others wait.
#ifndef HIPOPT_FIBERS_HPP
#define HIPOPT_FIBERS_HPP

#include <cstddef>
#include <cstdint>

namespace hipopt {

inline constexpr unsigned max_threads = 1024;

struct Fiber {
    void* stack_pointer;
    Fiber* next_free;
};

// What a fresh fiber runs; never returns. The scheduler's.
[[noreturn]] void fiber_main();
// One more fiber, for good.
Fiber* new_fiber();
// All fibers made so far, each as if new: nothing is left on their stacks. Valid between launches.
Fiber* renew_fibers();
// Whether the address lies in the guard below a fiber's stack.
bool is_stack_guard(std::uintptr_t address);
// Whether the address lies on the stack that the caller runs on, which is a fiber's.
bool is_own_stack(std::uintptr_t address);

}  // namespace hipopt

#endif
