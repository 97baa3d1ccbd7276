// What the kernel's own file keeps in memory from launch to launch, undone.
#ifndef HIPOPT_STATE_HPP
#define HIPOPT_STATE_HPP

namespace hipopt {

// Keeps a copy of the kernel's globals and statics as they are now.
void remember_state();
// The kernel's globals and statics are what they were when remembered.
void restore_state();

}  // namespace hipopt

#endif
