// The scheduler's side of execution.hpp, for the runtime alone.
#ifndef HIPOPT_SCHEDULER_HPP
#define HIPOPT_SCHEDULER_HPP

#include <cstddef>
#include <cstdint>

namespace hipopt {

struct Launch {
    std::uint32_t grid[3];
    std::uint32_t block[3];
    std::uint32_t lds_bytes;
    const unsigned char* arguments;
};

// Runs every block of the grid, one after another.
void run_grid(const Launch& launch);
// Makes just `bytes` of the dynamic LDS usable, up to a page's rest that is checked after a block.
void protect_lds(std::size_t bytes);
// Whether the address lies in the guard below a fiber's stack.
bool is_stack_guard(std::uintptr_t address);
// Whether the address lies in the dynamic LDS area.
bool is_lds(std::uintptr_t address);

}  // namespace hipopt

#endif
