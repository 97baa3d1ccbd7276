// What the microscope shows, in memory that the parent shares: it outlives the process.
#ifndef HIPOPT_OBSERVATION_HPP
#define HIPOPT_OBSERVATION_HPP

#include <cstdint>

namespace hipopt {

inline constexpr unsigned max_watched = 256, max_lds_arrays = 512;

enum class Access : std::uint32_t { read, write, atomic };

// Offsets from a buffer's start, bytes; low > high: never.
struct Extent {
    std::int64_t low;
    std::int64_t high;
};

struct BufferReach {
    Extent read;
    Extent written;
};

struct Party {
    std::uint32_t thread;  // Index in its block.
    std::uint32_t access;
    std::uint64_t block;  // Index in the grid.
    std::uint64_t instruction;
};

inline constexpr std::uint32_t in_lds = ~0u, in_globals = ~1u;

struct Conflict {
    std::uint32_t found;
    std::uint32_t place;  // A buffer's index, in_lds or in_globals.
    std::int64_t offset;  // Bytes from the place's start.
    std::uint64_t bytes;
    Party earlier;
    Party later;
};

struct Observation {
    std::uint64_t busy_threads;
    std::uint32_t barriers[2];  // Lines that waves of one block waited at together; 0: never.
    Conflict race;
    Conflict lockstep;
    BufferReach reaches[max_watched];
};
static_assert(sizeof(Conflict) == 72);

// Where the memory lies that the microscope watches; see protocol.py.
struct Watch {
    std::uint32_t command;
    std::uint32_t sequence;
    std::uint64_t observation;
    std::uint64_t room_bytes;
    std::uint32_t buffers;
    std::uint32_t lds_arrays;
    struct Buffer {
        std::uint64_t address;
        std::uint64_t bytes;
        std::uint64_t element_bytes;
    } buffer[max_watched];
    struct LdsArray {
        std::uint32_t offset;
        std::uint32_t bytes;
    } lds[max_lds_arrays];
};

}  // namespace hipopt

#endif
