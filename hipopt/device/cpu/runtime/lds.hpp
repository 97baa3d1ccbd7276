// The LDS of the running block: static arrays and the dynamic area.
#ifndef HIPOPT_LDS_HPP
#define HIPOPT_LDS_HPP

#include <cstddef>
#include <cstdint>

namespace hipopt {

inline constexpr std::size_t lds_page_bytes = 4096;
inline constexpr std::size_t lds_area_bytes = (160 << 10) + lds_page_bytes;

// Makes just `bytes` of the dynamic LDS usable, up to a page's rest that is checked after a block.
void protect_lds(std::size_t bytes);
// From the next block on, LDS starts with other garbage.
void next_garbage();
// Fills all LDS with garbage, as a GPU leaves it to a block.
void spoil_lds();
// Ends the process where the rest behind the dynamic LDS was written.
void check_lds();
// Whether the address lies in the dynamic LDS area.
bool is_lds(std::uintptr_t address);

}  // namespace hipopt

#endif
