// UndefinedBehaviorSanitizer's handlers: what a check that failed means, and where.
#include <cstdint>

#include "fault.hpp"
#include "microscope.hpp"

namespace {

using hipopt::Say;

struct Location {
    const char* file;
    std::uint32_t line;
    std::uint32_t column;
};

struct Type {
    std::uint16_t kind;  // 0: integer
    std::uint16_t info;
    char name[1];
};

// As protocol.py names them.
enum class Undefined : std::uint64_t {
    outside_object = 1, misaligned = 2, division = 3, conversion = 4, unreachable = 5, no_return = 6,
};

struct TypeMismatch {
    Location where;
    const Type* type;
    unsigned char log_alignment;
    unsigned char kind;
};

[[noreturn]] void undefined(Undefined what, const Location& where) {
    hipopt::die(Say::undefined, static_cast<std::uint64_t>(what), where.line,
                reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)) - 1);
}

}  // namespace

extern "C" {
void __ubsan_handle_type_mismatch_v1(const TypeMismatch* data, std::uintptr_t p) {
    if (p == 0) return;  // the access itself faults
    const std::uintptr_t mask = (std::uintptr_t{1} << data->log_alignment) - 1;
    undefined((p & mask) != 0 ? Undefined::misaligned : Undefined::outside_object, data->where);
}
void __ubsan_handle_out_of_bounds(const Location* where, std::uintptr_t) {
    undefined(Undefined::outside_object, *where);
}
void __ubsan_handle_divrem_overflow(const Location* where, std::uintptr_t, std::uintptr_t) {
    undefined(Undefined::division, *where);
}
void __ubsan_handle_float_cast_overflow(const Location* where, std::uintptr_t) {
    undefined(Undefined::conversion, *where);
}
void __ubsan_handle_builtin_unreachable(const Location* where) {
    undefined(Undefined::unreachable, *where);
}
void __ubsan_handle_missing_return(const Location* where) {
    undefined(Undefined::no_return, *where);
}
}
