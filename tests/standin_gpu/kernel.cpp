#include "kernel.hpp"

#include <elf.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>

namespace standin {

namespace {

constexpr int invalid_image = 200, illegal_address = 700, launch_failure = 719;
constexpr std::size_t max_buffers = 256, argument_bytes_at_most = 16 << 10, slot_bytes = 16;
constexpr char magic[] = "STANDIN1";

// What the program says, as hipopt/device/cpu/runtime/fault.hpp numbers it.
constexpr std::uint32_t said_started = 1, said_loaded = 2, said_done = 3, said_signal = 4;

struct Mapping {
    std::uint64_t address, bytes, offset;
};

// As hipopt/device/cpu/runtime/main.cpp reads them.
struct Load {
    std::uint32_t command, sequence, grid[3], block[3], lds_bytes, buffers;
    std::uint64_t area_address, area_bytes;
    Mapping mappings[max_buffers];
    alignas(16) unsigned char arguments[argument_bytes_at_most];
};

struct Launch {
    std::uint32_t command, sequence, threads, blocks, rounding, padding;
    std::uint64_t seed;
};

// Bytes of the program that begins there; 0 where none does.
std::size_t program_bytes(const unsigned char* image) {
    Elf64_Ehdr header;
    std::memcpy(&header, image, sizeof header);
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return 0;
    return header.e_shoff + std::size_t{header.e_shnum} * header.e_shentsize;
}

bool is_for_amd(const unsigned char* image) {
    constexpr Elf64_Half amdgpu = 224;
    Elf64_Ehdr header;
    std::memcpy(&header, image, sizeof header);
    return std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_machine == amdgpu;
}

std::size_t slot(std::size_t bytes) { return (bytes + slot_bytes - 1) / slot_bytes * slot_bytes; }

}  // namespace

struct Kernel::Message {
    std::uint32_t say, sequence;
    std::uint64_t detail, address, instruction;
    std::uint32_t thread[3], block[3];
};

Kernel::Kernel(const unsigned char* image) : error(invalid_image) {
    if (is_for_amd(image)) image += program_bytes(image);
    const std::size_t bytes = program_bytes(image);
    if (bytes == 0 || std::memcmp(image + bytes, magic, 8) != 0) return;
    std::uint32_t count;
    std::memcpy(&count, image + bytes + 8, sizeof count);
    arguments_.resize(count);
    std::memcpy(arguments_.data(), image + bytes + 12, count * 8);
    if (start(image, bytes) && await(said_started) == 0) error = 0;
}

Kernel::~Kernel() {
    if (socket_ >= 0) close(socket_);
    if (process_ > 0) {
        ::kill(process_, SIGKILL);
        waitpid(process_, nullptr, 0);
    }
}

bool Kernel::start(const unsigned char* program, std::size_t bytes) {
    int ends[2];
    const int file = memfd_create("kernel", MFD_CLOEXEC);
    if (write(file, program, bytes) != static_cast<ssize_t>(bytes)) return false;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return false;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 0);
    const std::string path = "/proc/self/fd/" + std::to_string(file);
    char name[] = "kernel";
    char* arguments[] = {name, nullptr};
    char* environment[] = {nullptr};
    const int failed =
        posix_spawn(&process_, path.c_str(), &actions, nullptr, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    close(file);
    socket_ = ends[0];
    return failed == 0;
}

bool Kernel::receive(Message& message) {
    return recv(socket_, &message, sizeof message, 0) == sizeof message;
}

// 0 once the program says so; else the error of what it says, or of its silent end.
int Kernel::await(std::uint32_t say) {
    Message message;
    if (!receive(message)) return launch_failure;
    if (message.say == say && (say != said_loaded || message.detail == 0)) return 0;
    const bool by_address = message.say == said_signal && (message.detail & 0xff) == SIGSEGV;
    return by_address ? illegal_address : launch_failure;
}

int Kernel::launch(const Memory& memory, Dim grid, Dim block, std::uint32_t lds_bytes,
                   const unsigned char* arguments, std::size_t argument_bytes,
                   Clock::time_point& began) {
    static Load load;
    load = {};
    load.command = 1;
    load.sequence = ++sequence_;
    std::memcpy(load.grid, &grid, sizeof grid);
    std::memcpy(load.block, &block, sizeof block);
    load.lds_bytes = lds_bytes;
    load.area_address = base_address;
    load.area_bytes = area_bytes;
    for (const auto& [address, bytes] : memory.touched())
        if (load.buffers < max_buffers)
            load.mappings[load.buffers++] = {address, bytes, address - base_address};
    unsigned char* out = load.arguments;
    for (const auto& [offset, size] : arguments_) {
        if (offset + size > argument_bytes) return invalid_image;
        std::memcpy(out, arguments + offset, size);
        out += slot(size);
    }
    const int file = memory.file();
    iovec data = {&load, sizeof load};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr header = {};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    cmsghdr* attached = CMSG_FIRSTHDR(&header);
    attached->cmsg_level = SOL_SOCKET;
    attached->cmsg_type = SCM_RIGHTS;
    attached->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(attached), &file, sizeof file);
    if (sendmsg(socket_, &header, MSG_NOSIGNAL) < 0) return launch_failure;
    if (const int failed = await(said_loaded)) return failed;
    began = Clock::now();
    const Launch request = {2, ++sequence_, 0, 0, 0, 0, 0};
    if (send(socket_, &request, sizeof request, MSG_NOSIGNAL) < 0) return launch_failure;
    return await(said_done);
}

}  // namespace standin
