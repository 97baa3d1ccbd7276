#include "faults.hpp"

#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <vector>

namespace standin {

namespace {

std::string folder() {
    Dl_info info;
    if (dladdr(reinterpret_cast<void*>(&fault_of), &info) == 0) std::abort();
    return std::string(info.dli_fname) + ".faults/";
}

std::vector<std::string> names(const std::string& where) {
    std::vector<std::string> found;
    if (DIR* directory = opendir(where.c_str())) {
        while (const dirent* entry = readdir(directory))
            if (entry->d_name[0] != '.') found.push_back(entry->d_name);
        closedir(directory);
    }
    std::sort(found.begin(), found.end());
    return found;
}

bool happens(double probability) {
    static std::random_device source;
    return probability >= 1 || source() < probability * 4294967296.0;
}

std::string at_gpu() {
    const char* pinned = std::getenv("ROCR_VISIBLE_DEVICES");
    return pinned == nullptr ? "@" : std::string("@") + pinned;
}

[[noreturn]] void hang() {
    for (;;) pause();
}

[[noreturn]] void abort_as_the_vendor_does() {
    std::fputs("Memory access fault by GPU node-1 (Agent handle: 0x1) on address 0x7f0000000000. "
               "Reason: Page not present or supervisor privilege.\n", stderr);
    std::abort();
}

}  // namespace

Fault fault_of(const char* call) {
    static const std::string where = folder();
    for (const std::string& name : names(where)) {
        std::ifstream file(where + name);
        std::string hit, action;
        double argument = 0, probability = 1;
        file >> hit >> action >> argument >> probability;
        if ((hit != call && hit != call + at_gpu()) || !happens(probability)) continue;
        if (name.rfind("once", 0) == 0 && unlink((where + name).c_str()) != 0) continue;
        if (action == "hang") hang();
        if (action == "die") kill(getpid(), static_cast<int>(argument));
        if (action == "abort") abort_as_the_vendor_does();
        return {action, argument};
    }
    return {};
}

}  // namespace standin
