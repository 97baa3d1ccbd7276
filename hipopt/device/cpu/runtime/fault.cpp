// Signals become messages to the parent, with the coordinates of the thread that caused them.
#include "fault.hpp"

#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <initializer_list>
#include <new>

#include "execution.hpp"
#include "fibers.hpp"
#include "lds.hpp"
#include "microscope.hpp"

namespace hipopt {
namespace {

alignas(16) char handler_stack[64 << 10];

std::uint64_t instruction_of(void* context) {
    const auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
    return static_cast<std::uint64_t>(machine.gregs[REG_RIP]);
#else
    return machine.pc;
#endif
}

// 1 where the fault was a read, 2 a write, 0 where the machine does not say.
std::uint64_t access_of(void* context) {
#if defined(__x86_64__)
    const auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
    return machine.gregs[REG_ERR] & 2 ? 2 : 1;
#else
    return context == nullptr;
#endif
}

void on_memory_fault(int number, siginfo_t* info, void* context) {
    const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
    const std::uint64_t instruction = instruction_of(context);
    const std::uint64_t signal = static_cast<std::uint64_t>(number) | access_of(context) << 8;
    if (is_stack_guard(address)) die(Say::stack_overflow, signal, address, instruction);
    if (is_lds(address)) die(Say::lds_overrun, signal, address, instruction);
    die(Say::signal, signal, address, instruction);
}

void on_signal(int number, siginfo_t*, void* context) {
    die(Say::signal, static_cast<std::uint64_t>(number), ~std::uint64_t{0},
        instruction_of(context));
}

void on_forbidden_call(int, siginfo_t* info, void* context) {
    const bool abort = info->si_syscall == SYS_tgkill || info->si_syscall == SYS_tkill;
    die(abort ? Say::signal : Say::forbidden_call,
        static_cast<std::uint64_t>(abort ? SIGABRT : info->si_syscall), ~std::uint64_t{0},
        instruction_of(context));
}

void handle(int number, void (*handler)(int, siginfo_t*, void*)) {
    struct sigaction action = {};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(number, &action, nullptr);
}

}  // namespace

void tell(Say say, std::uint32_t sequence, std::uint64_t detail) {
    const Message message = {say, sequence, detail, 0, 0, {}, {}};
    if (write(control_fd, &message, sizeof message) != sizeof message) _exit(1);
}

void die(Say say, std::uint64_t detail, std::uint64_t address, std::uint64_t instruction) {
    launch_ends();
    const Message message = {say,
                             0,
                             detail,
                             address,
                             instruction,
                             {threadIdx.x, threadIdx.y, threadIdx.z},
                             {blockIdx.x, blockIdx.y, blockIdx.z}};
    const ssize_t sent = write(control_fd, &message, sizeof message);
    _exit(sent == sizeof message ? 0 : 1);
}

void install_handlers() {
    const stack_t stack = {handler_stack, 0, sizeof handler_stack};
    sigaltstack(&stack, nullptr);
    handle(SIGSEGV, on_memory_fault);
    handle(SIGBUS, on_memory_fault);
    for (const int number : {SIGFPE, SIGILL, SIGABRT, SIGTRAP}) handle(number, on_signal);
    handle(SIGSYS, on_forbidden_call);
    std::set_new_handler([] { die(Say::out_of_memory, 0); });
}

}  // namespace hipopt

#if !defined(__GLIBC__)
// musl's blocks all signals before it calls what the sandbox forbids; on_forbidden_call would miss it.
extern "C" void abort() { hipopt::die(hipopt::Say::signal, SIGABRT, ~std::uint64_t{0}); }
#endif
