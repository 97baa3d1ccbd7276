// What a local variable without an initialiser holds in instrumented builds.
#ifndef HIPOPT_UNSET_HPP
#define HIPOPT_UNSET_HPP

#include <cstring>
#include <type_traits>

namespace hipopt {

// A large positive value in every arithmetic type: plain builds hold large negative ones there.
template <class T>
inline __attribute__((always_inline)) T unset() {
  if constexpr (std::is_same_v<T, bool>) {
    return false;
  } else if constexpr (std::is_trivially_copyable_v<T> &&
                       std::is_trivially_default_constructible_v<T>) {
    T value;
    std::memset(&value, 0x7B, sizeof value);
    return value;
  } else {
    return T();
  }
}

}  // namespace hipopt

#endif
