// The child's loop: map buffers when told to load, run the grid when told to launch, and forget the
// launch when told to reset.
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>

#include "fault.hpp"
#include "lds.hpp"
#include "microscope.hpp"
#include "observation.hpp"
#include "sandbox.hpp"
#include "scheduler.hpp"
#include "state.hpp"

namespace {

using namespace hipopt;

enum class Command : std::uint32_t { load = 1, launch = 2, reset = 3, watch = 4 };

constexpr unsigned max_buffers = 256;
constexpr std::size_t max_argument_bytes = 16 << 10;

struct Mapping {
    std::uint64_t address;
    std::uint64_t bytes;
    std::uint64_t offset;
};

struct Request {
    Command command;
    std::uint32_t sequence;
    std::uint32_t grid[3];
    std::uint32_t block[3];
    std::uint32_t lds_bytes;
    std::uint32_t buffers;
    std::uint64_t area_address;
    std::uint64_t area_bytes;
    Mapping mappings[max_buffers];
    alignas(16) unsigned char arguments[max_argument_bytes];
};

struct LaunchRequest {
    Command command;
    std::uint32_t sequence;
    Schedule schedule;
};

static_assert(sizeof(Watch) <= sizeof(Request));

Request incoming, loaded;

// Receives one request; its memfd, or -1.
int receive() {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    iovec data = {&incoming, sizeof incoming};
    msghdr header = {};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    if (recvmsg(control_fd, &header, MSG_CMSG_CLOEXEC) <= 0) _exit(0);
    int memory = -1;
    if (const cmsghdr* message = CMSG_FIRSTHDR(&header))
        memcpy(&memory, CMSG_DATA(message), sizeof memory);
    return memory;
}

void* at(std::uint64_t address) { return reinterpret_cast<void*>(address); }

// Pages come before the launch, so that its time holds none of their faults; under the microscope,
// where most of the memory is room that nobody touches, only when they are touched.
#if defined(HIPOPT_MICROSCOPE)
constexpr int POPULATE = 0;
#else
constexpr int POPULATE = MAP_POPULATE;
#endif

// Maps the buffers into an area that is otherwise inaccessible; errno, 0 where it succeeded.
int map(const Request& request, int memory) {
    if (loaded.area_bytes != 0) munmap(at(loaded.area_address), loaded.area_bytes);
    loaded = request;
    if (mmap(at(request.area_address), request.area_bytes, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
             0) != at(request.area_address))
        return errno ? errno : EEXIST;
    for (unsigned i = 0; i < request.buffers; ++i) {
        const Mapping& buffer = request.mappings[i];
        if (mmap(at(buffer.address), buffer.bytes, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_FIXED | POPULATE, memory,
                 static_cast<off_t>(buffer.offset)) == MAP_FAILED)
            return errno;
    }
    return 0;
}

void load(int memory) {
    const int error = map(incoming, memory);
    close(memory);
    protect_lds(incoming.lds_bytes);
    tell(Say::loaded, incoming.sequence, static_cast<std::uint64_t>(error));
}

void launch() {
    LaunchRequest request;
    memcpy(&request, &incoming, sizeof request);
    Launch what = {};
    memcpy(what.grid, loaded.grid, sizeof what.grid);
    memcpy(what.block, loaded.block, sizeof what.block);
    what.arguments = loaded.arguments;
    what.schedule = request.schedule;
    run_grid(what);
    tell(Say::done, request.sequence, 0);
}

void reset() {
    restore_state();
    scrub_stacks();
    tell(Say::reset, incoming.sequence, 0);
}

void watch_memory() {
    static Watch request;
    memcpy(&request, &incoming, sizeof request);
    const bool watched =
        watch(request, loaded.area_address, loaded.area_bytes, loaded.lds_bytes);
    tell(Say::watched, request.sequence, watched ? 0 : ENOMEM);
}

__attribute__((constructor(101))) void prepare() {
    hipopt_close_sandbox();
    install_handlers();
    narrow_sandbox();
}

}  // namespace

int main() {
    remember_state();
    tell(Say::started, 0, sandbox_errors());
    for (;;) {
        const int memory = receive();
        switch (incoming.command) {
            case Command::load: load(memory); break;
            case Command::launch: launch(); break;
            case Command::reset: reset(); break;
            case Command::watch: watch_memory(); break;
        }
    }
}
