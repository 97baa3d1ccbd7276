"""What an object file shows that no kernel may hold, however its source spells it.

Rules on the source give good reasons; this is what can't be talked around. A call into the host's
libraries is an undefined symbol of the object, and code that runs outside of a launch has a section
of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hipopt.device.cpu.elf import ObjectFile, Symbol

_MATHS = (
    "acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp10 exp2 "
    "expm1 fabs fdim floor fma fmax fmin fmod frexp hypot ilogb j0 j1 jn ldexp lgamma llrint "
    "llround log log10 log1p log2 logb lrint lround modf nan nearbyint nextafter nexttoward pow "
    "remainder remquo rint round roundeven scalbln scalbn significand sin sincos sinh sqrt tan "
    "tanh tgamma trunc y0 y1 yn finite isinf isnan fpclassify signbit issignaling drem gamma "
    "cabs carg cexp clog cpow csin ccos ctan csinh ccosh ctanh csqrt cacos casin catan cacosh "
    "casinh catanh cproj conj creal cimag"
)
_FUNCTIONS = (
    "abort abs labs llabs bcmp memchr memcmp memcpy memmove memset strlen strcmp strncmp strcpy "
    "strncpy malloc calloc realloc free printf vprintf puts putchar __assert_fail "
    "__gxx_personality_v0 _Unwind_Resume __stack_chk_fail __tls_get_addr _GLOBAL_OFFSET_TABLE_ "
    "__dso_handle threadIdx blockIdx blockDim gridDim"
)
_KNOWN = frozenset(_FUNCTIONS.split())
_DEVICE = re.compile(
    rf"_?_?(?:{'|'.join(_MATHS.split())})[fl]?(?:_r|_finite)?"
    r"|hipopt_\w+|_ZT?[HW]?N?K?6hipopt\w+"
    r"|_Zn[wa]\w+|_Zd[la]\w+"  # operators new and delete
    r"|__cxa_(?:pure_virtual|guard_\w+|throw_bad_array_new_length|begin_catch|end_catch|rethrow)"
    r"|_ZTVN10__cxxabiv1\w+|_ZSt\d+__throw_\w+|_ZSt9terminatev"
    r"|__(?:u?div|u?mod|u?cmp|mul|add|sub|neg|abs|extend|trunc|float|fix|pop|clz|ctz|ffs|parity|"
    r"ash|lsh|bswap|pow|gnu_[fhd]2[fhd])\w*"  # the compiler's own arithmetic
    r"|__atomic_\w+|__aarch64_\w+|__(?:asan|ubsan|sanitizer)_\w+"
)
_SPECIAL = re.compile(
    r"\.(?:pre)?init(?:_array)?(?:\.\d+)?|\.fini(?:_array)?(?:\.\d+)?|\.[cd]tors.*"
)
_REPLACED = re.compile(r"_Zn[wa]\w+|_Zd[la]\w+")


def objections(unit: ObjectFile, kernel: str) -> tuple[str, ...]:
    """What speaks against the object of `kernel` (its qualified name), one sentence each."""
    return tuple(dict.fromkeys(_objections(unit, kernel.rpartition("::")[2])))


def _objections(unit: ObjectFile, kernel: str) -> Iterator[str]:
    for symbol in unit.symbols:
        if symbol.name and not symbol.is_local:
            yield from _imported(symbol) if symbol.section == 0 else _exported(symbol, kernel)
        if symbol.is_indirect:
            yield f"'{symbol.name}' is chosen by code that runs outside of a launch"
    for name in unit.section_names():
        if _SPECIAL.fullmatch(name):
            yield f"code runs outside of a launch (section {name}), as a constructor's does"


def _imported(symbol: Symbol) -> Iterator[str]:
    if symbol.is_tls or symbol.name in _KNOWN:
        return
    if _DEVICE.fullmatch(symbol.name) is None:
        yield f"'{symbol.name}' is no device function, and a kernel may use nothing of the host's"


def _exported(symbol: Symbol, kernel: str) -> Iterator[str]:
    ours = ("_Z", "hipopt_", "DW.")
    if _REPLACED.fullmatch(symbol.name):
        yield f"'{symbol.name}' takes the place of the device's own allocation"
    elif symbol.is_function and symbol.name != kernel and not symbol.name.startswith(ours):
        yield (
            f"'{symbol.name}' has C linkage, so it could take the place of a function of the device"
        )
