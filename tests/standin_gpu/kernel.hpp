// A kernel of the stand-in: the emulator's program for it, which runs in a process of its own.
//
// The image of a module is such a program, right behind it the eight letters "STANDIN1", the number
// of its arguments in 32 bits, and for each its offset and size in the block of arguments, 32 bits
// each. Where a program ends its section headers tell: a module is loaded without a length. A real
// code object may stand before all that: it is passed over.
#ifndef STANDIN_KERNEL_HPP
#define STANDIN_KERNEL_HPP

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "memory.hpp"

namespace standin {

using Clock = std::chrono::steady_clock;

struct Dim {
    std::uint32_t x, y, z;
};

class Kernel {
public:
    // Starts the program; `error` is 0 where it runs.
    explicit Kernel(const unsigned char* image);
    ~Kernel();
    Kernel(const Kernel&) = delete;
    Kernel& operator=(const Kernel&) = delete;

    // Runs the grid; 0, or the error that a runtime reports of such an end. `began` is when the
    // kernel itself did.
    int launch(const Memory& memory, Dim grid, Dim block, std::uint32_t lds_bytes,
               const unsigned char* arguments, std::size_t argument_bytes,
               Clock::time_point& began);

    int error = 0;
    std::string name;  // As it was asked for.

private:
    struct Message;

    bool start(const unsigned char* program, std::size_t bytes);
    bool receive(Message& message);
    int await(std::uint32_t say);

    std::vector<std::pair<std::uint32_t, std::uint32_t>> arguments_;
    pid_t process_ = -1;
    int socket_ = -1;
    std::uint32_t sequence_ = 0;
};

}  // namespace standin

#endif
