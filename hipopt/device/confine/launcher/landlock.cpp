// Landlock's constants stand here: the headers of older systems lack some or all of them.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.hpp"

namespace {

constexpr const char* layer = "landlock";
constexpr long create_ruleset_call = 444, add_rule_call = 445, restrict_self_call = 446;
constexpr unsigned version_flag = 1;
constexpr int path_rule = 1;

constexpr uint64_t execute = 1 << 0, write_file = 1 << 1, read_file = 1 << 2, read_dir = 1 << 3;
constexpr uint64_t refer = 1 << 13, truncate_file = 1 << 14, ioctl_device = 1 << 15;
constexpr uint64_t first_version = (1 << 13) - 1;
constexpr uint64_t of_files = execute | write_file | read_file | truncate_file | ioctl_device;
constexpr uint64_t all_tcp = 3, all_scopes = 3;  // bind and connect; abstract sockets and signals

struct Ruleset {
    uint64_t files, tcp, scopes;
};

struct __attribute__((packed)) PathRule {
    uint64_t allowed;
    int parent;
};

uint64_t file_rights(long version) {
    uint64_t rights = first_version;
    if (version >= 2) rights |= refer;
    if (version >= 3) rights |= truncate_file;
    if (version >= 5) rights |= ioctl_device;
    return rights;
}

void allow(int ruleset, const std::string& path, uint64_t rights) {
    const int parent = open(path.c_str(), O_PATH | O_CLOEXEC);
    if (parent < 0) return;  // what isn't there can't be reached
    struct stat about;
    if (fstat(parent, &about) != 0) fail(layer, path.c_str());
    if (!S_ISDIR(about.st_mode)) rights &= of_files;
    const PathRule rule = {rights, parent};
    if (syscall(add_rule_call, ruleset, path_rule, &rule, 0) != 0) fail(layer, path.c_str());
    close(parent);
}

}  // namespace

void restrict_landlock(const Plan& plan) {
    const long version = syscall(create_ruleset_call, nullptr, 0, version_flag);
    if (version < 1) fail(layer, "version");
    const uint64_t all = file_rights(version);
    const Ruleset handled = {all, version >= 4 ? all_tcp : 0, version >= 6 ? all_scopes : 0};
    const int ruleset = static_cast<int>(syscall(create_ruleset_call, &handled, sizeof handled, 0));
    if (ruleset < 0) fail(layer, "create a ruleset");
    for (const std::string& path : plan.read) allow(ruleset, path, execute | read_file | read_dir);
    for (const std::string& path : plan.write) allow(ruleset, path, all & ~ioctl_device);
    allow(ruleset, plan.scratch, all & ~ioctl_device);
    allow(ruleset, "/dev/null", all & (read_file | write_file | truncate_file));
    for (const char* device : {"/dev/zero", "/dev/random", "/dev/urandom"})
        allow(ruleset, device, read_file);
    if (syscall(restrict_self_call, ruleset, 0) != 0) fail(layer, "restrict");
    close(ruleset);
}
