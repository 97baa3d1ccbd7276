// The GPUs that the stand-in shows.
#ifndef STANDIN_GPUS_HPP
#define STANDIN_GPUS_HPP

#include <string>
#include <vector>

namespace standin {

struct Gpu {
    std::string arch, bus_id;
};

// Those that ROCR_VISIBLE_DEVICES leaves, in its order; a name that is no number means the first.
std::vector<Gpu> visible_gpus();

}  // namespace standin

#endif
