// Threads as fibers, started only when a thread waits.
//
// A wave's threads run in a plain loop on one fiber. A thread that waits keeps that fiber, and the
// loop goes on with the next thread on another. When no lane of a wave can run, the lanes waiting
// at the lowest source line are released together, as hardware would reconverge them; when all
// waves wait at barriers, the barrier opens. Threads that have returned are waited for by nobody.
#include "scheduler.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "entry.hpp"
#include "fault.hpp"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

extern "C" void hipopt_switch(void** saved, void* next);
extern thread_local std::uint32_t hipopt_lds_begin[] __asm__("hipopt_lds_begin");
extern thread_local std::uint32_t hipopt_lds_end[] __asm__("hipopt_lds_end");
extern thread_local unsigned char hipopt_dynamic_lds[] __asm__("hipopt_dynamic_lds");

namespace hipopt {

Cursor cursor;
unsigned current;

namespace {

constexpr unsigned max_threads = 1024, wave_size = 64, max_waves = max_threads / wave_size;
constexpr std::size_t stack_bytes = 256 << 10, guard_bytes = 64 << 10, page_bytes = 4096;
// Stacks start at different offsets in their pages, or all would share a few cache lines.
constexpr std::size_t color_bytes = 320, colors = 51;
constexpr std::size_t lds_area_bytes = (160 << 10) + page_bytes;

struct Fiber {
    void* stack_pointer;
    Fiber* next_free;
};

enum class Wait : std::uint8_t { barrier, exchange, vote };

struct Thread {
    Fiber* fiber;
    uint3 index;
    int line;
    Wait wait;
    bool predicate;
    unsigned source;
    std::uint64_t value;
    std::uint64_t active;
};

// Lanes as bits. A lane that is in none of them runs, has returned or was not started.
struct Wave {
    std::uint64_t ready;
    std::uint64_t at_wave_operation;
    std::uint64_t at_barrier;
};

Thread threads[max_threads];
Wave waves[max_waves];
Fiber fibers[max_threads + 1];
unsigned fiber_count;
char* stacks;
Fiber* free_fibers;
Fiber* running;
void* scheduler_stack;
const unsigned char* arguments;
Count opened;
std::uint32_t launch_number;
std::size_t dynamic_lds_bytes;

[[noreturn]] void fiber_main() {
    for (;;) {
        run_threads(arguments);
        running->next_free = free_fibers;
        free_fibers = running;
        hipopt_switch(&running->stack_pointer, scheduler_stack);
    }
}

// A stack that starts in fiber_main when it is switched to.
void* fresh_stack(char* top) {
#if defined(__x86_64__)
    void** frame = reinterpret_cast<void**>(top) - 8;
    std::memset(frame, 0, 8 * sizeof(void*));
    frame[6] = reinterpret_cast<void*>(&fiber_main);
#else
    void** frame = reinterpret_cast<void**>(top - 160);
    std::memset(frame, 0, 160);
    frame[11] = reinterpret_cast<void*>(&fiber_main);
#endif
    return frame;
}

Fiber* new_fiber() {
    constexpr std::size_t stride = guard_bytes + stack_bytes;
    if (stacks == nullptr) {
        void* area = mmap(nullptr, stride * (max_threads + 1), PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (area == MAP_FAILED) die(Say::out_of_memory, 0);
        stacks = static_cast<char*>(area);
    }
    char* low = stacks + fiber_count * stride + guard_bytes;
    if (mprotect(low, stack_bytes, PROT_READ | PROT_WRITE) != 0) die(Say::out_of_memory, 0);
    char* top = low + stack_bytes - fiber_count % colors * color_bytes;
    Fiber* fiber = &fibers[fiber_count++];
    fiber->stack_pointer = fresh_stack(top);
    return fiber;
}

void enter(Fiber* fiber) {
    running = fiber;
    hipopt_switch(&scheduler_stack, fiber->stack_pointer);
}

void start_threads() {
    while (cursor.index != cursor.end) {
        Fiber* fiber = free_fibers;
        if (fiber != nullptr)
            free_fibers = fiber->next_free;
        else
            fiber = new_fiber();
        enter(fiber);
    }
}

// Makes a released lane of the wave the running thread; the stack to continue on.
void* take_ready_lane(unsigned number) {
    Wave& wave = waves[number];
    current = number * wave_size + static_cast<unsigned>(__builtin_ctzll(wave.ready));
    wave.ready &= wave.ready - 1;
    threadIdx = threads[current].index;
    running = threads[current].fiber;
    return running->stack_pointer;
}

// Parks the running thread until the scheduler resumes it.
Thread& park(Wait wait, bool predicate, int line) {
    Thread& thread = threads[current];
    thread.fiber = running;
    thread.index = threadIdx;
    thread.line = line;
    thread.wait = wait;
    thread.predicate = predicate;
    Wave& wave = waves[current / wave_size];
    const std::uint64_t bit = std::uint64_t{1} << current % wave_size;
    (wait == Wait::barrier ? wave.at_barrier : wave.at_wave_operation) |= bit;
    return thread;
}

// Continues with another lane of the wave, or with the scheduler where none is released.
void wait_parked(Thread& thread) {
    const unsigned wave = current / wave_size;
    void* next = waves[wave].ready != 0 ? take_ready_lane(wave) : scheduler_stack;
    hipopt_switch(&thread.fiber->stack_pointer, next);
}

template <class Visit>
void each_lane(std::uint64_t lanes, Visit visit) {
    for (; lanes != 0; lanes &= lanes - 1) visit(static_cast<unsigned>(__builtin_ctzll(lanes)));
}

// The lanes that wait for the same operation on the lowest line.
std::uint64_t converged(const Thread* lane, std::uint64_t waiting) {
    const Thread* first = &lane[__builtin_ctzll(waiting)];
    each_lane(waiting, [&](unsigned i) {
        if (lane[i].line < first->line) first = &lane[i];
    });
    std::uint64_t group = 0;
    each_lane(waiting, [&](unsigned i) {
        if (lane[i].line == first->line && lane[i].wait == first->wait)
            group |= std::uint64_t{1} << i;
    });
    return group;
}

void release_wave_operation(Thread* lane, Wave& wave) {
    const std::uint64_t group = converged(lane, wave.at_wave_operation);
    std::uint64_t results[wave_size];
    std::uint64_t holding = 0;
    each_lane(group, [&](unsigned i) {
        holding |= std::uint64_t{lane[i].predicate} << i;
        const unsigned source = lane[i].source;
        results[i] = source < wave_size && (group >> source & 1) ? lane[source].value : 0;
    });
    each_lane(group, [&](unsigned i) {
        lane[i].value = lane[i].wait == Wait::vote ? holding : results[i];
        lane[i].active = group;
    });
    wave.at_wave_operation &= ~group;
    wave.ready |= group;
}

// Runs a wave until its lanes have returned or wait at a barrier.
void run_wave(unsigned number) {
    Wave& wave = waves[number];
    start_threads();
    for (;;) {
        while (wave.ready != 0) hipopt_switch(&scheduler_stack, take_ready_lane(number));
        if (wave.at_wave_operation == 0) return;
        release_wave_operation(threads + number * wave_size, wave);
    }
}

void check_converged(const Thread* lane, std::uint64_t waiting) {
    const Thread& first = lane[__builtin_ctzll(waiting)];
    each_lane(waiting, [&](unsigned i) {
        if (lane[i].line == first.line) return;
        threadIdx = lane[i].index;
        die(Say::diverged_barrier, static_cast<std::uint64_t>(first.line),
            static_cast<std::uint64_t>(lane[i].line));
    });
}

// Releases all threads that wait at barriers; false where none does.
bool open_barrier(unsigned wave_count) {
    opened = {0, 0};
    for (unsigned w = 0; w < wave_count; ++w) {
        Wave& wave = waves[w];
        if (wave.at_barrier == 0) continue;
        const Thread* lane = threads + w * wave_size;
        check_converged(lane, wave.at_barrier);
        each_lane(wave.at_barrier, [&](unsigned i) { opened.holding += lane[i].predicate; });
        opened.waiting += static_cast<unsigned>(__builtin_popcountll(wave.at_barrier));
        wave.ready = wave.at_barrier;
        wave.at_barrier = 0;
    }
    return opened.waiting != 0;
}

// NaN as float, half, bfloat16 and double, negative as an integer: LDS is not zero on a GPU.
std::uint32_t garbage() { return 0xFFFFFE00u | (launch_number & 0xFF); }

std::uint32_t* dynamic_words() { return reinterpret_cast<std::uint32_t*>(hipopt_dynamic_lds); }

// Words between the dynamic LDS and the next protected page.
unsigned canary_length() {
    const std::size_t rest = (page_bytes - dynamic_lds_bytes % page_bytes) % page_bytes;
    return static_cast<unsigned>(rest / 4);
}

void spoil_lds() {
    std::fill(hipopt_lds_begin, hipopt_lds_end, garbage());
    std::fill_n(dynamic_words(), dynamic_lds_bytes / 4 + canary_length(), garbage());
}

void check_lds() {
    const std::uint32_t* end = dynamic_words() + dynamic_lds_bytes / 4;
    for (unsigned i = 0; i < canary_length(); ++i)
        if (end[i] != garbage()) die(Say::lds_overrun, dynamic_lds_bytes);
}

void run_block(unsigned thread_count) {
    const unsigned wave_count = (thread_count + wave_size - 1) / wave_size;
    spoil_lds();
    cursor = {uint3(0, 0, 0), 0, 0};
    for (unsigned w = 0; w < wave_count; ++w) {
        cursor.end = std::min((w + 1) * wave_size, thread_count);
        run_wave(w);
    }
    while (open_barrier(wave_count))
        for (unsigned w = 0; w < wave_count; ++w) run_wave(w);
    check_lds();
}

}  // namespace

Count barrier(bool predicate, int line) {
    wait_parked(park(Wait::barrier, predicate, line));
    return opened;
}

std::uint64_t exchange(std::uint64_t value, unsigned source, int line) {
    Thread& thread = park(Wait::exchange, false, line);
    thread.value = value;
    thread.source = source;
    wait_parked(thread);
    return thread.value;
}

Vote vote(bool predicate, int line) {
    Thread& thread = park(Wait::vote, predicate, line);
    thread.source = wave_size;
    wait_parked(thread);
    return {thread.value, thread.active};
}

void assertion_failed(int line) { die(Say::assertion, static_cast<std::uint64_t>(line)); }

void protect_lds(std::size_t bytes) {
    dynamic_lds_bytes = (bytes + 3) / 4 * 4;
    const std::size_t usable = (bytes + page_bytes - 1) / page_bytes * page_bytes;
    mprotect(hipopt_dynamic_lds, lds_area_bytes, PROT_READ | PROT_WRITE);
    mprotect(hipopt_dynamic_lds + usable, lds_area_bytes - usable, PROT_NONE);
}

bool is_lds(std::uintptr_t address) {
    const auto low = reinterpret_cast<std::uintptr_t>(hipopt_dynamic_lds);
    return low <= address && address < low + lds_area_bytes;
}

bool is_stack_guard(std::uintptr_t address) {
    const auto low = reinterpret_cast<std::uintptr_t>(stacks);
    constexpr std::size_t stride = guard_bytes + stack_bytes;
    return stacks != nullptr && low <= address && address < low + stride * (max_threads + 1) &&
           (address - low) % stride < guard_bytes;
}

void run_grid(const Launch& launch) {
    gridDim = dim3(launch.grid[0], launch.grid[1], launch.grid[2]);
    blockDim = dim3(launch.block[0], launch.block[1], launch.block[2]);
    arguments = launch.arguments;
    ++launch_number;
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x)
                run_block(blockDim.x * blockDim.y * blockDim.z);
}

}  // namespace hipopt
