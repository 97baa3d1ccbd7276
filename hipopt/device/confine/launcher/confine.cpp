// Runs one program closed in: confine --layers=... --scratch=... [--read=...] -- PROGRAM ARGS...
//
// The program gets a namespace of everything, an almost empty file system, no network, no system
// call that it has no business with, limits, and three file descriptors. It dies with whoever
// started it. Exit code and signal are the program's; 120: a layer failed, standard error says why.
#include "confine.hpp"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr int failed = 120;
constexpr int first_closed_fd = 3;
constexpr long close_range_call = 436;
constexpr unsigned long file_bytes = 1ul << 30;
constexpr unsigned long open_files = 256;

bool value_of(const char* argument, const char* option, const char*& value) {
    const size_t length = strlen(option);
    if (strncmp(argument, option, length) != 0) return false;
    value = argument + length;
    return true;
}

Plan parse(int count, char** arguments) {
    Plan plan;
    for (int i = 1; i < count; ++i) {
        const char* value = nullptr;
        if (strcmp(arguments[i], "--") == 0) {
            plan.program = arguments + i + 1;
            break;
        }
        if (value_of(arguments[i], "--layers=", value)) {
            plan.namespaces = strstr(value, "namespaces") != nullptr;
            plan.landlock = strstr(value, "landlock") != nullptr;
            plan.seccomp = strstr(value, "seccomp") != nullptr;
        } else if (value_of(arguments[i], "--scratch=", value)) {
            plan.scratch = value;
        } else if (value_of(arguments[i], "--read=", value)) {
            plan.read.push_back(value);
        } else if (value_of(arguments[i], "--write=", value)) {
            plan.write.push_back(value);
        } else if (value_of(arguments[i], "--memory=", value)) {
            plan.memory_bytes = strtoul(value, nullptr, 10);
        } else if (value_of(arguments[i], "--cpu=", value)) {
            plan.cpu_s = strtoul(value, nullptr, 10);
        }
    }
    if (plan.program == nullptr || *plan.program == nullptr || plan.scratch.empty()) {
        errno = EINVAL;
        fail("launcher", "arguments");
    }
    return plan;
}

void die_with_parent() {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail("launcher", "PR_SET_PDEATHSIG");
}

// An inherited descriptor would reach past every other layer.
void close_descriptors() {
    if (syscall(close_range_call, first_closed_fd, ~0u, 0) == 0) return;
    const long most = sysconf(_SC_OPEN_MAX);
    for (int fd = first_closed_fd; fd < most; ++fd) close(fd);
}

void limit(int resource, unsigned long most) {
    const rlimit value = {most, most};
    if (setrlimit(resource, &value) != 0)
        fail("limits", "setrlimit");
}

void lower(int resource, unsigned long most) {
    rlimit now;
    if (getrlimit(resource, &now) == 0 && now.rlim_max < most)
        most = now.rlim_max;
    limit(resource, most);
}

void set_limits(const Plan& plan) {
    limit(RLIMIT_CORE, 0);
    lower(RLIMIT_FSIZE, file_bytes);
    lower(RLIMIT_NOFILE, open_files);
    if (plan.memory_bytes != 0) lower(RLIMIT_AS, plan.memory_bytes);
    if (plan.cpu_s != 0) lower(RLIMIT_CPU, plan.cpu_s);
}

// Ends as the program ended. Only the first process of a PID namespace waits here.
[[noreturn]] void follow(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) _exit(failed);
    if (WIFEXITED(status)) _exit(WEXITSTATUS(status));
    signal(WTERMSIG(status), SIG_DFL);
    kill(getpid(), WTERMSIG(status));
    _exit(128 + WTERMSIG(status));
}

void enter_namespaces(const Plan& plan) {
    unshare_namespaces();
    const pid_t child = fork();
    if (child < 0) fail("namespaces", "fork");
    if (child > 0) follow(child);
    die_with_parent();
    build_root(plan);
}

}  // namespace

void fail(const char* layer, const char* step) {
    dprintf(STDERR_FILENO, "hipopt-confine: %s: %s: %s\n", layer, step, strerror(errno));
    _exit(failed);
}

int main(int count, char** arguments) {
    const Plan plan = parse(count, arguments);
    die_with_parent();
    close_descriptors();
    if (plan.namespaces) enter_namespaces(plan);
    if (chdir(plan.scratch.c_str()) != 0) fail("launcher", "chdir to the scratch directory");
    set_limits(plan);
    drop_capabilities();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("launcher", "PR_SET_NO_NEW_PRIVS");
    if (plan.landlock) restrict_landlock(plan);
    if (plan.seccomp) install_filter();
    execvp(*plan.program, plan.program);
    fail("launcher", *plan.program);
}
