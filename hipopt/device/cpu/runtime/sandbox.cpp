// The process gives up what a kernel has no business with, before any code of the kernel runs.
//
// hipopt_close_sandbox is the first code of the process (see switch.S): no libc, no thread-local
// storage, no relocated function may be used in it, so it makes its system calls itself.
#include "sandbox.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

namespace {

#if defined(HIPOPT_MICROSCOPE)
constexpr unsigned long data_limit_bytes = 8ul << 30;  // with the history of every element
#else
constexpr unsigned long data_limit_bytes = 1ul << 30;
#endif

#if defined(__x86_64__)
constexpr unsigned native = AUDIT_ARCH_X86_64;
long call(long number, long a, long b = 0, long c = 0, long d = 0, long e = 0) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}
#else
constexpr unsigned native = AUDIT_ARCH_AARCH64;
long call(long number, long a, long b = 0, long c = 0, long d = 0, long e = 0) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
                     : "memory");
    return x0;
}
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, field))
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, action)
#define IF_CALL(name, action) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), RETURN(action)
#define ALLOW(name) IF_CALL(name, SECCOMP_RET_ALLOW)
#define REFUSE(name) IF_CALL(name, SECCOMP_RET_ERRNO | 1)
#define PROLOGUE                                                                      \
    LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, native, 1, 0),                    \
        RETURN(SECCOMP_RET_KILL_PROCESS), LOAD(nr)
#define SKIP_UNLESS(name, instructions) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, instructions)
// No new code, and no shared memory that RLIMIT_DATA would not count.
#define MEMORY_CALLS                                                                  \
    SKIP_UNLESS(mprotect, 4), LOAD(args[2]),                                          \
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),                        \
        RETURN(SECCOMP_RET_TRAP), RETURN(SECCOMP_RET_ALLOW),                          \
        SKIP_UNLESS(mmap, 8), LOAD(args[2]),                                          \
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),                        \
        RETURN(SECCOMP_RET_TRAP), LOAD(args[3]),                                      \
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, MAP_SHARED | MAP_ANONYMOUS),              \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MAP_SHARED | MAP_ANONYMOUS, 0, 1),        \
        RETURN(SECCOMP_RET_TRAP), RETURN(SECCOMP_RET_ALLOW)
#define COMMON_CALLS                                                                   \
    ALLOW(read), ALLOW(write), ALLOW(writev), ALLOW(recvmsg), ALLOW(close),            \
        ALLOW(munmap), ALLOW(mremap), ALLOW(madvise), ALLOW(brk), ALLOW(exit),         \
        ALLOW(exit_group), ALLOW(rt_sigreturn), ALLOW(rt_sigprocmask), ALLOW(getpid),  \
        ALLOW(gettid), ALLOW(clock_gettime), ALLOW(gettimeofday), ALLOW(getrandom),    \
        ALLOW(sched_yield), REFUSE(fstat), REFUSE(newfstatat), REFUSE(ioctl),          \
        REFUSE(lseek)
#if defined(__x86_64__)
#define START_OF_THIS_MACHINE ALLOW(arch_prctl), REFUSE(readlink)
#else
#define START_OF_THIS_MACHINE REFUSE(readlinkat)
#endif
#define START_CALLS                                                                    \
    ALLOW(set_tid_address), ALLOW(set_robust_list), ALLOW(rt_sigaction),               \
        ALLOW(sigaltstack), ALLOW(prctl), REFUSE(prlimit64), REFUSE(rseq),             \
        REFUSE(readlinkat), START_OF_THIS_MACHINE

#undef prlimit64  // musl makes it a macro
#ifndef SYS_rseq
#if defined(__x86_64__)
#define SYS_rseq 334
#else
#define SYS_rseq 293
#endif
#endif
#ifndef SYS_newfstatat
#define SYS_newfstatat SYS_fstatat
#endif

const sock_filter starting[] = {PROLOGUE, MEMORY_CALLS, COMMON_CALLS, START_CALLS,
                                RETURN(SECCOMP_RET_TRAP)};
const sock_filter running[] = {PROLOGUE, MEMORY_CALLS, COMMON_CALLS, RETURN(SECCOMP_RET_TRAP)};

bool closed;
long error;

template <unsigned short N>
long install(const sock_filter (&filter)[N]) {
    const sock_fprog program = {N, const_cast<sock_filter*>(filter)};
    return call(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, reinterpret_cast<long>(&program));
}

void limit(int resource, unsigned long most) {
    const rlimit value = {most, most};
    call(SYS_prlimit64, 0, resource, reinterpret_cast<long>(&value));
}

}  // namespace

extern "C" void hipopt_close_sandbox() {
    if (closed) return;
    closed = true;
    call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_NOFILE, 16);
    limit(RLIMIT_NPROC, 0);
    limit(RLIMIT_DATA, data_limit_bytes);
    error = call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1);
    if (error == 0) error = install(starting);
}

namespace hipopt {

int sandbox_error() { return static_cast<int>(-error); }

void narrow_sandbox() {
    if (error == 0) error = install(running);
}

}  // namespace hipopt
