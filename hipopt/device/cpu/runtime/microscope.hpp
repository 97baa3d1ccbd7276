// The scheduler's and the loop's words to the microscope. In the plain build nobody listens.
#ifndef HIPOPT_MICROSCOPE_HPP
#define HIPOPT_MICROSCOPE_HPP

#include <cstddef>
#include <cstdint>

namespace hipopt {

struct Watch;

#if defined(HIPOPT_MICROSCOPE)
// Memory of the loaded launch, to be watched from now on. False: no memory for that.
bool watch(const Watch& request, std::uint64_t area_address, std::uint64_t area_bytes,
           std::size_t dynamic_lds_bytes);
void launch_begins();
void launch_ends();
void block_begins();
void block_ends();
void barrier_opens();
// Waves of a block meet at barriers in these lines.
void waves_differ(int line, int other);
// Lanes of the wave have met in a wave operation.
void wave_meets(unsigned wave);
#else
inline bool watch(const Watch&, std::uint64_t, std::uint64_t, std::size_t) { return false; }
inline void launch_begins() {}
inline void launch_ends() {}
inline void block_begins() {}
inline void block_ends() {}
inline void barrier_opens() {}
inline void waves_differ(int, int) {}
inline void wave_meets(unsigned) {}
#endif

}  // namespace hipopt

#endif
