#include "order.hpp"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace hipopt {

std::uint64_t Dice::throw_once() {  // splitmix64
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

unsigned Picker::pick_otherwise(std::uint64_t set) {
    if (direction_ == Direction::reverse) return 63 - static_cast<unsigned>(__builtin_clzll(set));
    const unsigned turn = dice_.throw_once() & 63;
    const std::uint64_t turned = turn == 0 ? set : set >> turn | set << (64 - turn);
    return (static_cast<unsigned>(__builtin_ctzll(turned)) + turn) & 63;
}

Permutation::Permutation(Direction direction, std::uint64_t count, std::uint64_t seed)
    : direction_(direction), count_(count), bits_(1) {
    while (bits_ < 63 && count > std::uint64_t{1} << bits_) ++bits_;
    Dice dice(seed);
    for (std::uint64_t& factor : factors_) factor = dice.throw_once() | 1;
}

// Permutes the numbers of bits_ bits: each step can be undone.
std::uint64_t Permutation::mixed(std::uint64_t value) const {
    const std::uint64_t mask = (std::uint64_t{1} << bits_) - 1;
    for (const std::uint64_t factor : factors_) {
        value = (value * factor + (factor >> 7)) & mask;
        value ^= value >> (bits_ / 2 + 1);
    }
    return value;
}

std::uint64_t Permutation::operator[](std::uint64_t index) const {
    if (direction_ == Direction::forward) return index;
    if (direction_ == Direction::reverse) return count_ - 1 - index;
    do index = mixed(index);
    while (index >= count_);  // walks along a cycle that index itself ends at the latest
    return index;
}

void set_rounding(Rounding rounding) {
#if defined(__x86_64__)
    __asm__ volatile("fninit");
    _mm_setcsr(0x1F80u | static_cast<unsigned>(rounding) << 13);
#else
    constexpr std::uint64_t modes[] = {0, 2, 1, 3};  // nearest, down, up, zero
    const std::uint64_t control = modes[static_cast<unsigned>(rounding)] << 22;
    __asm__ volatile("msr fpcr, %0" : : "r"(control));
#endif
}

}  // namespace hipopt
