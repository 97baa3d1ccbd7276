// What the child says of itself; the parent takes none of it for a pass. See protocol.py.
#ifndef HIPOPT_FAULT_HPP
#define HIPOPT_FAULT_HPP

#include <cstdint>

namespace hipopt {

enum class Say : std::uint32_t {
    started = 1,         // detail: errno of the seccomp installation, 0 where it is in force
    loaded = 2,          // detail: errno, 0 where the buffers are mapped
    done = 3,            // the launch has ended
    signal = 4,          // detail: signal, 256 if it read, 512 if it wrote; address: where
    forbidden_call = 5,  // detail: system call number
    out_of_memory = 6,
    diverged_barrier = 7,  // detail, address: the lines
    lds_overrun = 8,
    stack_overflow = 9,
    assertion = 10,  // detail: the line
    reset = 11,      // nothing of earlier launches is left
    watched = 12,    // detail: errno, 0 where the microscope watches
    out_of_bounds = 13,  // detail: bytes << 8 | Access; address: where
    lds_out_of_bounds = 15,  // as out_of_bounds; address: bytes from the start of static LDS
    undefined = 14,      // detail: what, see undefined.cpp; address: the line
};

struct Message {
    Say say;
    std::uint32_t sequence;
    std::uint64_t detail;
    std::uint64_t address;
    std::uint64_t instruction;
    std::uint32_t thread[3];
    std::uint32_t block[3];
};
static_assert(sizeof(Message) == 56);

inline constexpr int control_fd = 0;

// Sends one message to the parent.
void tell(Say say, std::uint32_t sequence, std::uint64_t detail);
// Sends a fault with the running thread's coordinates and ends the process.
[[noreturn]] void die(Say say, std::uint64_t detail, std::uint64_t address = 0,
                      std::uint64_t instruction = 0);
// Turns signals into messages, from now on.
void install_handlers();

}  // namespace hipopt

#endif
