#include "gpus.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace standin {

namespace {

std::vector<Gpu> all_gpus() {
    Dl_info info;
    if (dladdr(reinterpret_cast<void*>(&visible_gpus), &info) == 0) std::abort();
    std::ifstream file(std::string(info.dli_fname) + ".gpus");
    std::vector<Gpu> found;
    for (Gpu gpu; file >> gpu.arch >> gpu.bus_id;) found.push_back(gpu);
    return found.empty() ? std::vector<Gpu>{{"gfx942", "0000:c1:00.0"}} : found;
}

}  // namespace

std::vector<Gpu> visible_gpus() {
    const std::vector<Gpu> all = all_gpus();
    const char* names = std::getenv("ROCR_VISIBLE_DEVICES");
    if (names == nullptr) return all;
    std::vector<Gpu> found;
    std::istringstream list(names);
    for (std::string name; std::getline(list, name, ',');) {
        const auto number = std::strtoul(name.c_str(), nullptr, 10);
        if (number < all.size()) found.push_back(all[number]);
    }
    return found;
}

}  // namespace standin
