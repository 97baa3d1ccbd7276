// Faults on command: one file each in the folder `<this library>.faults`.
//
// A file holds one line: the entry point, the action, its argument, and the probability that a call
// is hit, such as `hipModuleLoadData error 209 1`. A launch of one kernel is named with the kernel:
// `hipExtModuleLaunchKernel:k fault 700 1`. With `@1` behind it, only a process that was pinned to
// GPU 1 meets it. Files whose name begins with `once` are gone
// after they hit, however many processes look; all others stay. Actions:
//   error N     the call returns N and does nothing
//   hang 0      the call never returns
//   die S       the process gets signal S
//   fault N     (of a launch) the kernel is not run, and whatever waits for it returns N
//   abort 0     what the vendor's runtime says of a memory fault, then abort()
//   corrupt N   (of a copy to the host) byte N of what is copied is flipped
//   scale F     (of an elapsed time) is multiplied by F
//   used N      (of the free memory) N bytes are somebody else's
#ifndef STANDIN_FAULTS_HPP
#define STANDIN_FAULTS_HPP

#include <string>

namespace standin {

struct Fault {
    std::string action;  // Empty: none.
    double argument = 0;

    bool is(const char* name) const { return action == name; }
};

// The fault of this call. Hangs and deaths happen within.
Fault fault_of(const char* call);

}  // namespace standin

#endif
