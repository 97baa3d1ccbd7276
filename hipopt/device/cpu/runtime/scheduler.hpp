// The scheduler's side of execution.hpp, for the runtime alone.
#ifndef HIPOPT_SCHEDULER_HPP
#define HIPOPT_SCHEDULER_HPP

#include <cstddef>
#include <cstdint>

#include "order.hpp"

namespace hipopt {

struct Launch {
    std::uint32_t grid[3];
    std::uint32_t block[3];
    const unsigned char* arguments;
    Schedule schedule;
};

// Runs every block of the grid, one after another.
void run_grid(const Launch& launch);
// No launch leaves anything on the threads' stacks for the next.
void scrub_stacks();

}  // namespace hipopt

#endif
