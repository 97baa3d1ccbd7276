#include "races.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "fibers.hpp"
#include "lds.hpp"
#include "microscope.hpp"

extern char __executable_start[];

namespace hipopt {

std::uint64_t now = 1, launch_clock = 1, block_clock = 1, phase_clock = 1;
bool is_unsettled;

namespace {

constexpr unsigned wave_size = 64, max_waves = max_threads / wave_size;
constexpr unsigned clock_shift = 37, mark_shift = 34, thread_shift = 24;
constexpr std::uint64_t last_clock = (std::uint64_t{1} << (64 - clock_shift)) - 1;
constexpr std::uint64_t partial = 4;  // Beside the mark: less than the whole element.
constexpr std::uint64_t instruction_mask = (1u << thread_shift) - 1;
constexpr std::size_t most_blocks = 1 << 22, most_remembered = 64, most_deferred = 32;

enum class Order { ordered, lockstep, race };

struct Block {
    std::uint64_t clock;
    std::uint64_t index;
};

// A write in conflict, seen before it happens: harmless where it changes nothing.
struct Pending {
    Conflict conflict;
    Order order;
    std::uintptr_t address;
    std::size_t bytes;
    unsigned char old[64];
    Record* entry;
};

struct Deferred {
    Conflict conflict;
    Order order;
};

std::uint64_t met[max_waves];  // When the wave's lanes met last.
std::uint64_t acquired, fenced;
std::uint64_t busy_threads;
Block* blocks;
std::size_t block_count;
Pending pending;
Deferred deferred[most_deferred];
std::size_t deferred_count;
std::uint64_t hints[most_remembered];  // Reads that an atomic operation follows.
std::size_t hint_count;

std::uint64_t clock_of(Record r) { return r >> clock_shift; }
Mark mark_of(Record r) { return static_cast<Mark>(r >> mark_shift & 3); }
bool is_partial(Record r) { return (r >> mark_shift & partial) != 0; }
unsigned thread_of(Record r) { return r >> thread_shift & (max_threads - 1); }
std::uint64_t instruction_of(Record r) {
    return (r & instruction_mask) + reinterpret_cast<std::uintptr_t>(__executable_start);
}

Record make(std::uint64_t pc, Mark mark, bool is_whole) {
    const std::uint64_t at = pc - reinterpret_cast<std::uintptr_t>(__executable_start);
    return now << clock_shift |
           (static_cast<std::uint64_t>(mark) | (is_whole ? 0 : partial)) << mark_shift |
           std::uint64_t{current} << thread_shift | (at & instruction_mask);
}

std::uint64_t tick() {
    if (now < last_clock) ++now;
    return now;
}

// What lies between that access and one of the running thread's now.
Order order_of(const Region& region, Record earlier) {
    const std::uint64_t clock = clock_of(earlier);
    if (clock < region.clock || clock <= acquired || now == last_clock) return Order::ordered;
    if (clock < block_clock) return Order::race;
    const unsigned thread = thread_of(earlier), wave = current / wave_size;
    if (clock < phase_clock || thread == current) return Order::ordered;
    if (thread / wave_size != wave) return Order::race;
    return clock < met[wave] ? Order::ordered : Order::lockstep;
}

std::uint64_t block_at(std::uint64_t clock) {
    const Block* after = std::upper_bound(
        blocks, blocks + block_count, clock,
        [](std::uint64_t c, const Block& b) { return c < b.clock; });
    return after == blocks ? 0 : after[-1].index;
}

std::uint64_t this_block() {
    return (std::uint64_t{blockIdx.z} * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
}

Access access_of(Record r) { return mark_of(r) == Mark::atomic ? Access::atomic : Access::write; }

Conflict describe(const Region& region, std::uint64_t entry, Record earlier, Access first,
                  Record later, Access second) {
    const std::uint64_t width = std::uint64_t{1} << region.shift;
    return {1,
            region.place,
            static_cast<std::int64_t>(entry * width),
            width,
            {thread_of(earlier), static_cast<std::uint32_t>(first), block_at(clock_of(earlier)),
             instruction_of(earlier)},
            {thread_of(later), static_cast<std::uint32_t>(second), this_block(),
             instruction_of(later)}};
}

void report(const Conflict& conflict, Order order) {
    Conflict& place = order == Order::race ? observation->race : observation->lockstep;
    if (!place.found) place = conflict;
}

bool is_known(Order order) {
    return order == Order::race ? observation->race.found : observation->lockstep.found;
}

// To be decided when it is known whether that read is a first look.
void defer(const Conflict& conflict, Order order, std::uint64_t read_instruction) {
    for (std::size_t i = 0; i < deferred_count; ++i) {
        const Conflict& known = deferred[i].conflict;
        const Party& reader =
            known.earlier.access == static_cast<std::uint32_t>(Access::read) ? known.earlier
                                                                             : known.later;
        if (reader.instruction == read_instruction && deferred[i].order == order) return;
    }
    if (deferred_count < most_deferred) deferred[deferred_count++] = {conflict, order};
}

bool is_hint(std::uint64_t instruction) {
    return std::find(hints, hints + hint_count, instruction) != hints + hint_count;
}

void remember_hint(std::uint64_t instruction) {
    if (hint_count < most_remembered && !is_hint(instruction)) hints[hint_count++] = instruction;
}

void report_deferred() {
    for (std::size_t i = 0; i < deferred_count; ++i) {
        const Conflict& c = deferred[i].conflict;
        const bool first = c.earlier.access == static_cast<std::uint32_t>(Access::read);
        const std::uint64_t read = first ? c.earlier.instruction : c.later.instruction;
        if (!is_hint(read)) report(c, deferred[i].order);
    }
    deferred_count = 0;
}

void await(Region& region, std::uint64_t entry, const Conflict& conflict, Order order,
           std::uint64_t at, std::size_t bytes) {
    if (is_unsettled && pending.order == Order::race) return;
    pending.conflict = conflict;
    pending.order = order;
    const bool fits = bytes <= sizeof pending.old;
    pending.address = region.begin + (fits ? at : entry << region.shift);
    pending.bytes = fits ? bytes : std::size_t{1} << region.shift;
    pending.entry = &region.writes[entry];
    std::memcpy(pending.old, reinterpret_cast<const void*>(pending.address), pending.bytes);
    is_unsettled = true;
}

void acquire(const Region& region, std::uint64_t entry) {
    acquired = std::max<std::uint64_t>(acquired, region.releases[entry]);
}

void release(Region& region, std::uint64_t entry) {
    region.releases[entry] =
        std::max(region.releases[entry], static_cast<std::uint32_t>(fenced));
}

// Entries that an access covers, and whether it covers them wholly.
struct Span {
    std::uint64_t first;
    std::uint64_t last;
    bool is_whole;
};

Span span(Region& region, std::uint64_t at, std::size_t bytes) {
    const std::uint64_t width = std::uint64_t{1} << region.shift;
    const bool is_whole = ((at | bytes) & (width - 1)) == 0;
    if (!is_whole && region.place == in_lds) {
        refine(region, std::size_t{1} << __builtin_ctzll(at | bytes));
        return {at >> region.shift, (at + bytes - 1) >> region.shift, true};
    }
    return {at >> region.shift, (at + bytes - 1) >> region.shift, is_whole};
}

void check_write_after_read(Region& region, std::uint64_t entry, Record read, Record later,
                            std::uint64_t at, std::size_t bytes) {
    if (clock_of(read) < region.clock) return;
    const Order order = order_of(region, read);
    if (order == Order::ordered || is_known(order) || is_partial(read | later)) return;
    if (mark_of(read) == Mark::polled && mark_of(later) != Mark::plain) return;
    const Access second = access_of(later);
    const Conflict conflict = describe(region, entry, read, Access::read, later, second);
    if (second == Access::atomic)
        defer(conflict, order, instruction_of(read));
    else
        await(region, entry, conflict, order, at, bytes);
}

void remember_read(Region& region, std::uint64_t entry, Record record) {
    const Record last = region.reads[entry];
    const bool is_other_wave =
        clock_of(last) >= region.clock &&
        (thread_of(last) / wave_size != current / wave_size || clock_of(last) < block_clock);
    const bool is_other_lane = clock_of(last) >= phase_clock && thread_of(last) != current &&
                               clock_of(region.others[entry]) < phase_clock;
    if (is_other_wave || is_other_lane) region.others[entry] = last;
    region.reads[entry] = record;
}

}  // namespace

void check_read(Region& region, std::uint64_t at, std::size_t bytes, std::uint64_t pc,
                Mark mark) {
    const Span entries = span(region, at, bytes);
    if (mark == Mark::polled && region.place == in_lds) mark = Mark::plain;
    const Record record = make(pc, mark, entries.is_whole);
    for (std::uint64_t i = entries.first; i <= entries.last; ++i) {
        const Record write = region.writes[i];
        if (clock_of(write) >= region.clock) {
            const bool is_signal = mark == Mark::polled && mark_of(write) != Mark::plain;
            const Order order = order_of(region, write);
            if (is_signal)
                acquire(region, i);
            else if (order != Order::ordered && mark_of(write) != Mark::many &&
                     !is_known(order) && !is_partial(write | record)) {
                const Access first = access_of(write);
                const Conflict conflict =
                    describe(region, i, write, first, record, Access::read);
                if (first == Access::atomic)
                    defer(conflict, order, instruction_of(record));
                else
                    report(conflict, order);
            }
        }
        remember_read(region, i, record);
    }
}

void check_write(Region& region, std::uint64_t at, std::size_t bytes, std::uint64_t pc,
                 Mark mark) {
    const Span entries = span(region, at, bytes);
    if (mark == Mark::polled && region.place == in_lds) mark = Mark::plain;
    for (std::uint64_t i = entries.first; i <= entries.last; ++i) {
        const Record write = region.writes[i];
        const bool is_mine = clock_of(write) >= block_clock && thread_of(write) == current;
        // A plain store to what this thread changed atomically gives a lock back.
        const bool gives_back = is_mine && mark_of(write) == Mark::atomic && fenced != 0;
        const Record record = make(pc, gives_back ? Mark::atomic : mark, entries.is_whole);
        if (gives_back || mark == Mark::polled) release(region, i);
        if (clock_of(write) >= region.clock) {
            const Order order = order_of(region, write);
            if (order != Order::ordered && !is_known(order) && !is_partial(write | record))
                await(region, i, describe(region, i, write, access_of(write), record, Access::write),
                      order, at, bytes);
        }
        check_write_after_read(region, i, region.reads[i], record, at, bytes);
        check_write_after_read(region, i, region.others[i], record, at, bytes);
        region.writes[i] = record;
    }
}

void check_atomic(Region& region, std::uint64_t at, std::size_t bytes, std::uint64_t pc) {
    const Span entries = span(region, at, bytes);
    const Record record = make(pc, Mark::atomic, entries.is_whole);
    for (std::uint64_t i = entries.first; i <= entries.last; ++i) {
        const Record write = region.writes[i], read = region.reads[i];
        acquire(region, i);
        release(region, i);
        if (clock_of(write) >= region.clock && mark_of(write) == Mark::plain) {
            const Order order = order_of(region, write);
            if (order != Order::ordered && !is_partial(write | record))
                report(describe(region, i, write, Access::write, record, Access::atomic), order);
        }
        if (clock_of(read) >= phase_clock && thread_of(read) == current)
            remember_hint(instruction_of(read));
        check_write_after_read(region, i, read, record, at, bytes);
        check_write_after_read(region, i, region.others[i], record, at, bytes);
        region.writes[i] = record;
    }
}

void fence() {
    fenced = now;
    tick();
}

void settle() {
    is_unsettled = false;
    const void* there = reinterpret_cast<const void*>(pending.address);
    if (std::memcmp(there, pending.old, pending.bytes) != 0)
        report(pending.conflict, pending.order);
    else if (mark_of(*pending.entry) == Mark::plain)
        *pending.entry |= static_cast<std::uint64_t>(Mark::many) << mark_shift;
}

void launch_begins() {
    if (now > last_clock / 2) {
        forget_history();
        now = 1;
    }
    launch_clock = tick();
    forget_reaches(launch_clock);
    deferred_count = hint_count = block_count = 0;
    busy_threads = 0;
    observation->busy_threads = 0;
    observation->race.found = observation->lockstep.found = 0;
    if (blocks != nullptr) return;
    void* area = mmap(nullptr, most_blocks * sizeof(Block), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area != MAP_FAILED) blocks = static_cast<Block*>(area);
}

void block_begins() {
    block_clock = phase_clock = lds_region.clock = tick();
    acquired = fenced = 0;
    std::memset(met, 0, sizeof met);
    if (blocks != nullptr && block_count < most_blocks)
        blocks[block_count++] = {block_clock, this_block()};
}

void barrier_opens() {
    if (is_unsettled) settle();
    phase_clock = lds_region.clock = tick();
}

void waves_differ(int line, int other) {
    std::uint32_t* lines = observation->barriers;
    if (lines[0] != 0) return;
    lines[0] = static_cast<std::uint32_t>(std::min(line, other));
    lines[1] = static_cast<std::uint32_t>(std::max(line, other));
}

void wave_meets(unsigned wave) {
    if (is_unsettled) settle();
    met[wave] = tick();
}

void block_ends() {
    if (is_unsettled) settle();
    busy_threads += static_cast<std::uint64_t>(std::count(busy, busy + max_threads, true));
    std::memset(busy, 0, max_threads);
    observation->busy_threads = busy_threads;
}

void launch_ends() {
    if (observation == nullptr) return;
    block_ends();
    report_deferred();
}

}  // namespace hipopt
