// Threads as fibers, started only when a thread waits.
//
// A wave's threads run in a plain loop on one fiber. A thread that waits keeps that fiber, and the
// loop goes on with the next thread on another. When no lane of a wave can run, the lanes waiting
// at the lowest source line are released together, as hardware would reconverge them; when all
// waves wait at barriers, the barrier opens. Threads that have returned are waited for by nobody.
#include "scheduler.hpp"

#include <algorithm>

#include "entry.hpp"
#include "fault.hpp"
#include "fibers.hpp"
#include "lds.hpp"
#include "microscope.hpp"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

extern "C" void hipopt_switch(void** saved, void* next);

namespace hipopt {

Cursor cursor;
unsigned current;

namespace {

constexpr unsigned wave_size = 64, max_waves = max_threads / wave_size;

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
Fiber* free_fibers;
Fiber* running;
void* scheduler_stack;
const unsigned char* arguments;
Count opened;
Picker picker(Direction::forward, 0);
unsigned thread_count, wave_count;

void enter(Fiber* fiber) {
    running = fiber;
    hipopt_switch(&scheduler_stack, fiber->stack_pointer);
}

uint3 thread_at(unsigned index) {
    const unsigned row = index / blockDim.x;
    return uint3(index % blockDim.x, row % blockDim.y, row / blockDim.y);
}

void start_cursor() {
    while (cursor.index != cursor.end) {
        Fiber* fiber = free_fibers;
        if (fiber != nullptr)
            free_fibers = fiber->next_free;
        else
            fiber = new_fiber();
        enter(fiber);
    }
}

// The cursor goes on where it stands; only otherwise is every lane an errand of its own.
void start_wave(unsigned number) {
    const unsigned first = number * wave_size, count = std::min(wave_size, thread_count - first);
    if (picker.is_forward()) {
        cursor.end = first + count;
        return start_cursor();
    }
    for (std::uint64_t left = ~std::uint64_t{0} >> (wave_size - count); left != 0;) {
        const unsigned lane = picker.pick(left);
        left &= ~(std::uint64_t{1} << lane);
        cursor = {thread_at(first + lane), first + lane, first + lane + 1};
        start_cursor();
    }
}

// Makes a released lane of the wave the running thread; the stack to continue on.
void* take_ready_lane(unsigned number) {
    Wave& wave = waves[number];
    const unsigned lane = picker.pick(wave.ready);
    current = number * wave_size + lane;
    wave.ready &= ~(std::uint64_t{1} << lane);
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
    wave_meets(static_cast<unsigned>(&wave - waves));
    wave.at_wave_operation &= ~group;
    wave.ready |= group;
}

// Runs a started wave until its lanes have returned or wait at a barrier.
void run_wave(unsigned number) {
    Wave& wave = waves[number];
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
bool open_barrier() {
    opened = {0, 0};
    barrier_opens();
    const Thread* first = nullptr;
    for (unsigned w = 0; w < wave_count; ++w) {
        Wave& wave = waves[w];
        if (wave.at_barrier == 0) continue;
        const Thread* lane = threads + w * wave_size;
        check_converged(lane, wave.at_barrier);
        const Thread* here = lane + __builtin_ctzll(wave.at_barrier);
        if (first == nullptr) first = here;
        if (here->line != first->line) waves_differ(first->line, here->line);
        each_lane(wave.at_barrier, [&](unsigned i) { opened.holding += lane[i].predicate; });
        opened.waiting += static_cast<unsigned>(__builtin_popcountll(wave.at_barrier));
        wave.ready = wave.at_barrier;
        wave.at_barrier = 0;
    }
    return opened.waiting != 0;
}

template <class Visit>
void each_wave(Visit visit) {
    for (unsigned left = (1u << wave_count) - 1; left != 0;) {
        const unsigned wave = picker.pick(left);
        left &= ~(1u << wave);
        visit(wave);
    }
}

void run_block() {
    spoil_lds();
    block_begins();
    cursor = {uint3(0, 0, 0), 0, 0};
    each_wave([](unsigned w) {
        start_wave(w);
        run_wave(w);
    });
    while (open_barrier()) each_wave(run_wave);
    block_ends();
    check_lds();
}

void run_blocks_forward() {
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x) run_block();
}

void run_blocks_in(const Permutation& order, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t index = order[i], row = index / gridDim.x;
        blockIdx = uint3(static_cast<unsigned>(index % gridDim.x),
                         static_cast<unsigned>(row % gridDim.y),
                         static_cast<unsigned>(row / gridDim.y));
        run_block();
    }
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

void fiber_main() {
    for (;;) {
        run_threads(arguments);
        running->next_free = free_fibers;
        free_fibers = running;
        hipopt_switch(&running->stack_pointer, scheduler_stack);
    }
}

void scrub_stacks() { free_fibers = renew_fibers(); }

void run_grid(const Launch& launch) {
    gridDim = dim3(launch.grid[0], launch.grid[1], launch.grid[2]);
    blockDim = dim3(launch.block[0], launch.block[1], launch.block[2]);
    thread_count = blockDim.x * blockDim.y * blockDim.z;
    wave_count = (thread_count + wave_size - 1) / wave_size;
    arguments = launch.arguments;
    picker = Picker(launch.schedule.threads, launch.schedule.seed);
    next_garbage();
    launch_begins();
    std::uint64_t count = std::uint64_t{gridDim.x} * gridDim.y;  // each side is below 2^31
    const bool endless = __builtin_mul_overflow(count, gridDim.z, &count) || count >> 62 != 0;
    set_rounding(launch.schedule.rounding);
    if (launch.schedule.blocks == Direction::forward || endless)
        run_blocks_forward();
    else
        run_blocks_in(Permutation(launch.schedule.blocks, count, launch.schedule.seed), count);
    set_rounding(Rounding::nearest);
    launch_ends();
}

}  // namespace hipopt
