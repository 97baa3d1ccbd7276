// Tries to get out: attempts WHAT=VALUE... prints those that succeeded, one a line, and ends well.
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

bool read_file(const char* path) {
    const int fd = open(path, O_RDONLY);
    char byte;
    return fd >= 0 && read(fd, &byte, 1) == 1;
}

bool create_file(const char* path) { return open(path, O_WRONLY | O_CREAT, 0600) >= 0; }

bool connect_to(const char* port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<unsigned short>(atoi(port)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd >= 0 && connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

bool signal_process(const char* pid) { return kill(atoi(pid), 0) == 0; }

// The other process is stopped by nothing in this and goes free when this one ends.
bool trace_process(const char* pid) {
    return ptrace(PTRACE_SEIZE, static_cast<pid_t>(atoi(pid)), nullptr, nullptr) == 0;
}

bool find_descriptor(const char* above) {
    for (int fd = atoi(above) + 1; fd < 1024; ++fd)
        if (fcntl(fd, F_GETFD) >= 0) return true;
    return false;
}

bool make_namespace(const char*) { return unshare(CLONE_NEWUSER) == 0; }

constexpr struct {
    const char* name;
    bool (*attempt)(const char* value);
} attempts[] = {
    {"read", read_file},     {"write", create_file},           {"connect", connect_to},
    {"signal", signal_process}, {"trace", trace_process},      {"descriptor", find_descriptor},
    {"namespace", make_namespace},
};

}  // namespace

int main(int count, char** arguments) {
    for (int i = 1; i < count; ++i) {
        const char* value = strchr(arguments[i], '=');
        if (value == nullptr) return 2;
        const size_t length = static_cast<size_t>(value - arguments[i]);
        for (const auto& one : attempts)
            if (strlen(one.name) == length && strncmp(arguments[i], one.name, length) == 0 &&
                one.attempt(value + 1))
                puts(arguments[i]);
    }
    return 0;
}
