// A HIP runtime without a GPU: the entry points that the runner uses, on the emulator's kernels.
//
// The GPUs are those of the file `<this library>.gpus`, a line each with arch and place on the bus,
// as far as ROCR_VISIBLE_DEVICES names them; without the file there is one. One stream. Copies and launches are done when their call returns, but a launch that
// failed says so where one waits for it, as on a GPU, and every later call says it again.
#include <cstdio>
#include <cstring>
#include <memory>

#include "faults.hpp"
#include "kernel.hpp"
#include "gpus.hpp"
#include "memory.hpp"

namespace {

using namespace standin;

constexpr int success = 0, invalid_value = 1, out_of_memory = 2, no_device = 100, not_found = 500;
constexpr std::size_t total_bytes = 32ull << 30;

struct Event {
    Clock::time_point at;
};

int broken = 0;  // Of a launch that failed; nothing works any more.

Memory& memory() {
    static Memory only;
    return only;
}

// What the call must return at once; 0: it goes on.
int ahead(const char* call) {
    const Fault fault = fault_of(call);
    return fault.is("error") ? static_cast<int>(fault.argument) : broken;
}

struct Extra {
    const unsigned char* arguments = nullptr;
    std::size_t bytes = 0;

    explicit Extra(void** list) {
        for (; list != nullptr && *list != reinterpret_cast<void*>(3); list += 2) {
            if (*list == reinterpret_cast<void*>(1))
                arguments = static_cast<const unsigned char*>(list[1]);
            if (*list == reinterpret_cast<void*>(2)) bytes = *static_cast<std::size_t*>(list[1]);
        }
    }
};

int launch(const char* call, Kernel* kernel, Dim grid, Dim block, std::uint32_t lds_bytes,
           void** extra, Event* start, Event* stop) {
    Fault fault = fault_of(call);
    if (fault.action.empty()) fault = fault_of((call + (":" + kernel->name)).c_str());
    if (fault.is("error")) return static_cast<int>(fault.argument);
    if (broken) return broken;
    if (std::size_t{block.x} * block.y * block.z > 1024) return 9;
    const Extra given(extra);
    Clock::time_point began = Clock::now();
    if (fault.is("fault"))
        broken = static_cast<int>(fault.argument);
    else
        broken =
            kernel->launch(memory(), grid, block, lds_bytes, given.arguments, given.bytes, began);
    if (start != nullptr) start->at = began;
    if (stop != nullptr) stop->at = Clock::now();
    return success;
}

struct Name {
    int error;
    const char* name;
};

constexpr Name known[] = {
    {0, "hipSuccess"}, {1, "hipErrorInvalidValue"}, {2, "hipErrorOutOfMemory"},
    {9, "hipErrorInvalidConfiguration"}, {100, "hipErrorNoDevice"}, {101, "hipErrorInvalidDevice"},
    {200, "hipErrorInvalidImage"}, {209, "hipErrorNoBinaryForGpu"},
    {214, "hipErrorECCNotCorrectable"}, {500, "hipErrorNotFound"}, {700, "hipErrorIllegalAddress"},
    {719, "hipErrorLaunchFailure"}, {999, "hipErrorUnknown"},
};

}  // namespace

extern "C" {

const char* hipGetErrorName(int error) {
    for (const Name& one : known)
        if (one.error == error) return one.name;
    return "hipErrorUnknown";
}

int hipInit(unsigned) { return ahead("hipInit"); }

int hipGetDeviceCount(int* count) {
    if (const int error = ahead("hipGetDeviceCount")) return error;
    *count = static_cast<int>(visible_gpus().size());
    return success;
}

int hipSetDevice(int device) {
    if (const int error = ahead("hipSetDevice")) return error;
    return device < static_cast<int>(visible_gpus().size()) ? success : 101;
}

int hipGetDevicePropertiesR0600(unsigned char* properties, int device) {
    if (const int error = ahead("hipGetDevicePropertiesR0600")) return error;
    if (device >= static_cast<int>(visible_gpus().size())) return no_device;
    const int wave_size = 64, compute_units = 1;
    const std::size_t lds_bytes = 64 << 10;
    std::memset(properties, 0, 1472);
    std::strcpy(reinterpret_cast<char*>(properties), "Stand-in Instinct");
    std::memcpy(properties + 288, &total_bytes, sizeof total_bytes);
    std::memcpy(properties + 296, &lds_bytes, sizeof lds_bytes);
    std::memcpy(properties + 388, &compute_units, sizeof compute_units);
    std::memcpy(properties + 308, &wave_size, sizeof wave_size);
    const std::string arch = visible_gpus()[static_cast<std::size_t>(device)].arch;
    std::strcpy(reinterpret_cast<char*>(properties) + 1160, (arch + ":sramecc+:xnack-").c_str());
    return success;
}

int hipDeviceGetPCIBusId(char* text, int bytes, int device) {
    if (const int error = ahead("hipDeviceGetPCIBusId")) return error;
    const Gpu gpu = visible_gpus()[static_cast<std::size_t>(device)];
    std::snprintf(text, static_cast<std::size_t>(bytes), "%s", gpu.bus_id.c_str());
    return success;
}

int hipMalloc(std::uint64_t* address, std::size_t bytes) {
    if (const int error = ahead("hipMalloc")) return error;
    *address = memory().allocate(bytes);
    return *address == 0 ? out_of_memory : success;
}

int hipFree(std::uint64_t address) {
    if (const int error = ahead("hipFree")) return error;
    return memory().free(address) ? success : invalid_value;
}

int hipMemGetInfo(std::size_t* free, std::size_t* total) {
    const Fault fault = fault_of("hipMemGetInfo");
    if (fault.is("error")) return static_cast<int>(fault.argument);
    *total = total_bytes;
    *free = total_bytes - memory().allocated();
    if (fault.is("used")) *free -= static_cast<std::size_t>(fault.argument);
    return success;
}

int hipMemcpyHtoD(std::uint64_t to, const void* from, std::size_t bytes) {
    if (const int error = ahead("hipMemcpyHtoD")) return error;
    unsigned char* there = memory().at(to, bytes);
    if (there == nullptr) return invalid_value;
    memory().touch(to);
    std::memcpy(there, from, bytes);
    return success;
}

int hipMemcpyDtoH(void* to, std::uint64_t from, std::size_t bytes) {
    const Fault fault = fault_of("hipMemcpyDtoH");
    if (fault.is("error")) return static_cast<int>(fault.argument);
    if (broken) return broken;
    const unsigned char* there = memory().at(from, bytes);
    if (there == nullptr) return invalid_value;
    std::memcpy(to, there, bytes);
    if (fault.is("corrupt"))
        static_cast<unsigned char*>(to)[static_cast<std::size_t>(fault.argument) % bytes] ^= 0x40;
    return success;
}

int hipMemsetD8Async(std::uint64_t at, unsigned char value, std::size_t bytes, void*) {
    if (const int error = ahead("hipMemsetD8Async")) return error;
    unsigned char* there = memory().at(at, bytes);
    if (there == nullptr) return invalid_value;
    if (bytes <= filled_at_most) std::memset(there, value, bytes);
    return success;
}

int hipDeviceSynchronize() { return ahead("hipDeviceSynchronize"); }

int hipModuleLoadData(Kernel** module, const unsigned char* image) {
    if (const int error = ahead("hipModuleLoadData")) return error;
    auto loaded = std::make_unique<Kernel>(image);
    if (loaded->error != 0) return loaded->error;
    *module = loaded.release();
    return success;
}

int hipModuleUnload(Kernel* module) {
    if (const int error = ahead("hipModuleUnload")) return error;
    delete module;
    return success;
}

int hipModuleGetFunction(Kernel** function, Kernel* module, const char* name) {
    if (const int error = ahead("hipModuleGetFunction")) return error;
    if (*name == '\0') return not_found;
    module->name = name;
    *function = module;
    return success;
}

int hipEventCreateWithFlags(Event** event, unsigned) {
    if (const int error = ahead("hipEventCreateWithFlags")) return error;
    *event = new Event{Clock::now()};
    return success;
}

int hipEventRecord(Event* event, void*) {
    if (const int error = ahead("hipEventRecord")) return error;
    event->at = Clock::now();
    return success;
}

int hipEventSynchronize(Event*) { return ahead("hipEventSynchronize"); }

int hipEventElapsedTime(float* milliseconds, const Event* start, const Event* stop) {
    const Fault fault = fault_of("hipEventElapsedTime");
    if (fault.is("error")) return static_cast<int>(fault.argument);
    const std::chrono::duration<float, std::milli> took = stop->at - start->at;
    *milliseconds = took.count() * (fault.is("scale") ? static_cast<float>(fault.argument) : 1.0f);
    return success;
}

int hipModuleLaunchKernel(Kernel* kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                          unsigned block_x, unsigned block_y, unsigned block_z, unsigned lds_bytes,
                          void*, void**, void** extra) {
    return launch("hipModuleLaunchKernel", kernel, {grid_x, grid_y, grid_z},
                  {block_x, block_y, block_z}, lds_bytes, extra, nullptr, nullptr);
}

// Threads instead of blocks, and events that take the kernel's own time stamps.
int hipExtModuleLaunchKernel(Kernel* kernel, unsigned threads_x, unsigned threads_y,
                             unsigned threads_z, unsigned block_x, unsigned block_y,
                             unsigned block_z, std::size_t lds_bytes, void*, void**, void** extra,
                             Event* start, Event* stop, unsigned) {
    return launch("hipExtModuleLaunchKernel", kernel,
                  {threads_x / block_x, threads_y / block_y, threads_z / block_z},
                  {block_x, block_y, block_z}, static_cast<std::uint32_t>(lds_bytes), extra, start,
                  stop);
}

}  // extern "C"
