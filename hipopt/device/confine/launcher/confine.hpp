// The layers that close a process in. Each ends the launcher with its name and errno if it fails:
// a layer that was asked for is in force, or the program does not start.
#ifndef HIPOPT_CONFINE_HPP
#define HIPOPT_CONFINE_HPP

#include <string>
#include <vector>

struct Plan {
    bool namespaces = false;
    bool landlock = false;
    bool seccomp = false;
    std::string scratch;             // The one directory of its own; absolute, no symbolic links.
    std::vector<std::string> read;   // What it may read and execute.
    std::vector<std::string> write;  // What it may write besides `scratch`.
    unsigned long memory_bytes = 0;  // Address space of each process; 0: no limit.
    unsigned long cpu_s = 0;         // CPU seconds of each process; 0: no limit.
    char** program = nullptr;
};

// Ends the launcher: the layer could not be had.
[[noreturn]] void fail(const char* layer, const char* step);

// New user, mount, network, IPC, UTS and PID namespaces; the caller must fork to enter the last.
void unshare_namespaces();
// The file system holds what the plan names, a few devices and nothing else.
void build_root(const Plan& plan);
// No capability is left, nor can any program that is executed give one.
void drop_capabilities();
// Files, TCP, signals and abstract sockets outside of the plan are out of reach.
void restrict_landlock(const Plan& plan);
// System calls that no compiler needs fail.
void install_filter();

#endif
