// What ties one kernel to the runtime: its parameter table and the loop that calls it.
#ifndef HIPOPT_ENTRY_HPP
#define HIPOPT_ENTRY_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "execution.hpp"

namespace hipopt {

// Runs unstarted threads until the wave has none left; `arguments` hold 8-byte-aligned values.
extern void run_threads(const unsigned char* arguments);

template <class T>
using Plain = std::remove_cv_t<std::remove_reference_t<T>>;

// One parameter: its size in bytes, with the top bit set for a pointer.
template <class T>
inline constexpr std::uint32_t described =
    static_cast<std::uint32_t>(sizeof(Plain<T>)) | (std::is_pointer_v<Plain<T>> ? 0x80000000u : 0u);

template <class T>
inline constexpr std::size_t slot = (sizeof(Plain<T>) + 15) / 16 * 16;

template <class T>
inline Plain<T> argument(const unsigned char* arguments, std::size_t offset) {
    static_assert(std::is_trivially_copyable_v<Plain<T>>, "a kernel parameter is copied bytewise");
    union Bytes {
        char raw[sizeof(Plain<T>)];
        Plain<T> value;
        Bytes() {}
    } bytes;
    std::memcpy(&bytes, arguments + offset, sizeof(Plain<T>));
    return bytes.value;
}

template <auto Kernel, class Type>
struct Entry;

template <auto Kernel, class... P>
struct Entry<Kernel, void (*)(P...)> {
    static constexpr std::uint32_t count = sizeof...(P);
    struct Table {
        std::uint32_t count;
        std::uint32_t parameters[sizeof...(P) + 1];
    };
    static constexpr Table table{count, {described<P>..., 0}};

    static constexpr std::size_t offset(std::size_t index) {
        constexpr std::size_t sizes[] = {slot<P>..., 0};
        std::size_t sum = 0;
        for (std::size_t i = 0; i < index; ++i) sum += sizes[i];
        return sum;
    }
    template <std::size_t... I>
    static void call(const unsigned char* arguments, std::index_sequence<I...>) {
        while (start_next_thread()) Kernel(argument<P>(arguments, offset(I))...);
    }
    static void run(const unsigned char* arguments) {
        call(arguments, std::index_sequence_for<P...>{});
    }
};

}  // namespace hipopt

#define HIPOPT_ENTRY(...)                                                                     \
    namespace hipopt {                                                                        \
    using KernelEntry = Entry<(__VA_ARGS__), decltype(__VA_ARGS__)>;                          \
    extern "C" __attribute__((used, section(".hipopt.parameters")))                           \
    const KernelEntry::Table hipopt_parameters = KernelEntry::table;                          \
    void run_threads(const unsigned char* arguments) { KernelEntry::run(arguments); }         \
    }

#endif
