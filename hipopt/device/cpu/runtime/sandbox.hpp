// What a candidate's process may still do.
#ifndef HIPOPT_SANDBOX_HPP
#define HIPOPT_SANDBOX_HPP

#include <cstdint>

// Limits, Landlock and a system call filter; runs before libc is set up. Called by hipopt_entry.
extern "C" void hipopt_close_sandbox();

namespace hipopt {
// errno of installing the filter, and of entering Landlock in the upper half; 0: in force.
std::uint64_t sandbox_errors();
// Takes away what only the start of a process needs. After install_handlers.
void narrow_sandbox();
}  // namespace hipopt

#endif
