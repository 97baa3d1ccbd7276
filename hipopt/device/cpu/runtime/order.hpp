// The order in which blocks, waves and lanes run, where a GPU would run them in any order.
#ifndef HIPOPT_ORDER_HPP
#define HIPOPT_ORDER_HPP

#include <cstdint>

namespace hipopt {

enum class Direction : std::uint32_t { forward, reverse, shuffled };
enum class Rounding : std::uint32_t { nearest, down, up, zero };

// As the launch request carries it; see protocol.py.
struct Schedule {
    Direction threads;
    Direction blocks;
    Rounding rounding;
    std::uint32_t unused;
    std::uint64_t seed;
};

// Numbers that look random, the same for the same seed.
class Dice {
public:
    explicit Dice(std::uint64_t seed = 0) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}
    std::uint64_t throw_once();

private:
    std::uint64_t state_;
};

// Which of several comes next.
class Picker {
public:
    Picker(Direction direction, std::uint64_t seed) : direction_(direction), dice_(seed) {}
    bool is_forward() const { return direction_ == Direction::forward; }
    // One bit's number of a set that is not empty.
    unsigned pick(std::uint64_t set) {
        return is_forward() ? static_cast<unsigned>(__builtin_ctzll(set)) : pick_otherwise(set);
    }

private:
    unsigned pick_otherwise(std::uint64_t set);

    Direction direction_;
    Dice dice_;
};

// The numbers below `count`, each once, in an order of their own.
class Permutation {
public:
    Permutation(Direction direction, std::uint64_t count, std::uint64_t seed);
    std::uint64_t operator[](std::uint64_t index) const;

private:
    std::uint64_t mixed(std::uint64_t value) const;

    Direction direction_;
    std::uint64_t count_;
    unsigned bits_;
    std::uint64_t factors_[3];
};

// Floating-point results are rounded this way, and no exception stops the process.
void set_rounding(Rounding rounding);

}  // namespace hipopt

#endif
