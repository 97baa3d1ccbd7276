// A list of what is refused, not of what is allowed: compilers differ in what they call. What a
// kernel runs under is the other way round, see the CPU device's sandbox.cpp.
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "confine.hpp"

namespace {

#if defined(__x86_64__)
constexpr unsigned native = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr unsigned native = AUDIT_ARCH_AARCH64;
#else
#error "hipopt knows x86-64 and aarch64"
#endif
constexpr unsigned foreign_numbers = 0x40000000;  // x32
constexpr unsigned common_numbers = 424;  // from here on the numbers of all machines agree
constexpr unsigned new_namespace = 0x7e020080;  // all CLONE_NEW* flags

constexpr unsigned refused[] = {
    // other processes
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_kill, SYS_tkill,
    SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_setsid, SYS_setpgid,
    SYS_setpriority, SYS_sched_setscheduler, SYS_sched_setparam, SYS_sched_setattr, SYS_ioprio_set,
    SYS_migrate_pages, SYS_move_pages,
    // network
    SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_listen, SYS_accept, SYS_accept4,
    // what outlives the process
    SYS_shmget, SYS_shmat, SYS_semget, SYS_msgget, SYS_mq_open, SYS_add_key, SYS_request_key,
    SYS_keyctl,
    // the system
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns, SYS_swapon,
    SYS_swapoff, SYS_reboot, SYS_sethostname, SYS_setdomainname, SYS_acct, SYS_quotactl,
    SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex, SYS_syslog, SYS_vhangup,
    SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_kexec_file_load,
    SYS_personality, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_fanotify_init,
    SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_lookup_dcookie, SYS_nfsservctl,
#if defined(__x86_64__)
    SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_uselib, SYS_create_module, SYS_ustat, SYS_sysfs,
#endif
};

// close_range, openat2, faccessat2, epoll_pwait2, futex_waitv, cachestat, fchmodat2,
// map_shadow_stack, futex_wake, futex_wait, futex_requeue
constexpr unsigned allowed_new[] = {436, 437, 439, 441, 449, 451, 452, 453, 454, 455, 456};

sock_filter load(unsigned offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset); }
sock_filter end(unsigned action) { return BPF_STMT(BPF_RET | BPF_K, action); }
sock_filter skip_unless(unsigned short test, unsigned value, unsigned char instructions) {
    return BPF_JUMP(static_cast<unsigned short>(BPF_JMP | test | BPF_K), value, 0, instructions);
}

constexpr unsigned deny = SECCOMP_RET_ERRNO | EPERM;
constexpr unsigned unknown = SECCOMP_RET_ERRNO | ENOSYS;  // libraries then take the older call
constexpr unsigned argument_0 = offsetof(seccomp_data, args);

std::vector<sock_filter> program() {
    std::vector<sock_filter> code = {
        load(offsetof(seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, native, 1, 0),
        end(SECCOMP_RET_KILL_PROCESS),
        load(offsetof(seccomp_data, nr)),
        skip_unless(BPF_JGE, foreign_numbers, 1),
        end(SECCOMP_RET_KILL_PROCESS),
    };
    const auto on = [&code](unsigned number, unsigned action) {
        code.push_back(skip_unless(BPF_JEQ, number, 1));
        code.push_back(end(action));
    };
    for (const unsigned number : refused) on(number, deny);
    for (const unsigned number : allowed_new) on(number, SECCOMP_RET_ALLOW);
    code.push_back(skip_unless(BPF_JGT, common_numbers, 1));
    code.push_back(end(unknown));
    // A clone that makes a namespace; a limit that is set on another process.
    code.push_back(skip_unless(BPF_JEQ, SYS_clone, 4));
    code.push_back(load(argument_0));
    code.push_back(skip_unless(BPF_JSET, new_namespace, 1));
    code.push_back(end(deny));
    code.push_back(end(SECCOMP_RET_ALLOW));
    code.push_back(skip_unless(BPF_JEQ, SYS_prlimit64, 3));
    code.push_back(load(argument_0));
    code.push_back(skip_unless(BPF_JGT, 0, 1));
    code.push_back(end(deny));
    code.push_back(end(SECCOMP_RET_ALLOW));
    return code;
}

}  // namespace

void install_filter() {
    std::vector<sock_filter> code = program();
    const sock_fprog filter = {static_cast<unsigned short>(code.size()), code.data()};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) fail("seccomp", "install");
}
