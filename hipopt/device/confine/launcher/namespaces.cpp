#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.hpp"

namespace {

constexpr const char* layer = "namespaces";
constexpr unsigned nobody = 65534;
const std::string old_root = "/.old";
const char* const devices[] = {"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"};

bool write_file(const char* path, const std::string& text) {
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    const int error = errno;
    close(fd);
    errno = error;
    return written;
}

// The caller's own user, but never root: root would keep capabilities across an exec.
void map_user(const char* path, unsigned outside) {
    const unsigned inside = outside == 0 ? nobody : outside;
    if (!write_file(path, std::to_string(inside) + " " + std::to_string(outside) + " 1"))
        fail(layer, path);
}

void make_directories(const std::string& path) {
    for (size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1))
        mkdir(path.substr(0, at).c_str(), 0755);
    mkdir(path.c_str(), 0755);
}

// What a remount may not change: the kernel refuses to lift these in a user namespace.
unsigned long locked_flags(const char* path) {
    struct statvfs about;
    if (statvfs(path, &about) != 0) return 0;
    return (about.f_flag & ST_NOSUID ? MS_NOSUID : 0) | (about.f_flag & ST_NODEV ? MS_NODEV : 0) |
           (about.f_flag & ST_NOEXEC ? MS_NOEXEC : 0) | (about.f_flag & ST_RDONLY ? MS_RDONLY : 0) |
           (about.f_flag & ST_NOATIME ? MS_NOATIME : 0) |
           (about.f_flag & ST_NODIRATIME ? MS_NODIRATIME : 0) |
           (about.f_flag & ST_RELATIME ? MS_RELATIME : 0);
}

void make_target(const std::string& path, bool is_directory) {
    if (is_directory) return make_directories(path);
    make_directories(path.substr(0, path.rfind('/')));
    const int fd = open(path.c_str(), O_CREAT | O_RDONLY | O_CLOEXEC, 0644);
    if (fd >= 0) close(fd);
}

// `path` is what it was outside; nothing happens where there was nothing.
void keep(const std::string& path, bool writable) {
    const std::string source = old_root + path;
    struct stat about;
    if (lstat(source.c_str(), &about) != 0) return;
    if (S_ISLNK(about.st_mode)) {
        char target[4096];
        const ssize_t length = readlink(source.c_str(), target, sizeof target - 1);
        if (length < 0) fail(layer, path.c_str());
        target[length] = '\0';
        make_directories(path.substr(0, path.rfind('/')));
        if (symlink(target, path.c_str()) != 0 && errno != EEXIST) fail(layer, path.c_str());
        return;
    }
    make_target(path, S_ISDIR(about.st_mode));
    if (mount(source.c_str(), path.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0)
        fail(layer, path.c_str());
    const unsigned long flags = MS_REMOUNT | MS_BIND | MS_NOSUID | locked_flags(path.c_str());
    if (!writable && mount(nullptr, path.c_str(), nullptr, flags | MS_RDONLY, nullptr) != 0)
        fail(layer, path.c_str());
}

}  // namespace

void unshare_namespaces() {
    const unsigned user = geteuid(), group = getegid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
                CLONE_NEWPID) != 0)
        fail(layer, "unshare");
    write_file("/proc/self/setgroups", "deny");
    map_user("/proc/self/uid_map", user);
    map_user("/proc/self/gid_map", group);
}

void build_root(const Plan& plan) {
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) fail(layer, "private /");
    const char* base = plan.scratch.c_str();  // covered only until the root is pivoted
    if (mount("hipopt", base, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") != 0)
        fail(layer, "empty root");
    if (chdir(base) != 0 || mkdir(old_root.c_str() + 1, 0755) != 0) fail(layer, "old root");
    if (syscall(SYS_pivot_root, ".", old_root.c_str() + 1) != 0 || chdir("/") != 0)
        fail(layer, "pivot_root");
    for (const std::string& path : plan.read) keep(path, false);
    for (const std::string& path : plan.write) keep(path, true);
    keep(plan.scratch, true);
    for (const char* device : devices) keep(device, true);
    mkdir("/proc", 0555);  // where the outer /proc is partly hidden, there is none inside
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
    if (umount2(old_root.c_str(), MNT_DETACH) != 0) fail(layer, "detach the old root");
    rmdir(old_root.c_str());
    const unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV;
    if (mount(nullptr, "/", nullptr, flags, nullptr) != 0) fail(layer, "read-only root");
}

void drop_capabilities() {
    for (int capability = 0; capability <= 63; ++capability)
        prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);  // fails where there is none to drop
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[2] = {};
    if (syscall(SYS_capset, &header, none) != 0) fail("launcher", "capset");
}
