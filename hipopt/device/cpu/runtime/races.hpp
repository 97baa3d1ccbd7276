// Which accesses nothing orders.
//
// Each element has a history: its last write and its last reads, as clock, thread and instruction.
// The clock ticks when a launch, a block, a barrier's next phase or a wave operation begins, so one
// number tells what lies between two accesses. Two accesses to an element, one at least a plain
// write, are ordered
// - by being of one thread, or of one block with a barrier between them;
// - by a wave operation between them, where both are lanes of one wave;
// - by a release and an acquire: a fence in the earlier one's block, then an atomic operation
//   there, then one on the same address in the later one's block. Every thread of a block releases
//   and acquires for all of them, which is coarser than the memory model and finds less: last-block
//   patterns, locks and flags must raise no alarm.
// Unordered accesses of one wave may be ordered by lockstep, so they are kept apart. A write of
// what is there already is no conflict. A plain read beside atomic operations is none where that
// very instruction's reads are followed by an atomic operation on what was read (a first look before
// compare-and-swap, or before a maximum).
#ifndef HIPOPT_RACES_HPP
#define HIPOPT_RACES_HPP

#include "regions.hpp"

namespace hipopt {

// volatile: to global memory neither plain nor atomic; a polled flag is one.
enum class Mark : std::uint64_t { plain, atomic, polled, many };

extern std::uint64_t now, launch_clock, block_clock, phase_clock;
extern bool is_unsettled;

void check_read(Region& region, std::uint64_t at, std::size_t bytes, std::uint64_t pc, Mark mark);
void check_write(Region& region, std::uint64_t at, std::size_t bytes, std::uint64_t pc, Mark mark);
void check_atomic(Region& region, std::uint64_t at, std::size_t bytes, std::uint64_t pc);
// What this block wrote so far is seen by whoever acquires what it releases from now on.
void fence();
// Decides on a write that was seen before it happened.
void settle();

}  // namespace hipopt

#endif
