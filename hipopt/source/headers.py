"""Which headers a capsule may include, and which ones it needs.

A capsule includes HIP's own headers and those of the standard library that device code can use.
Everything else (torch, ATen, iostream, files of the project) is left out: if the kernel does need
it, the compiler says so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

RUNTIME = "hip/hip_runtime.h"

_STANDARD = frozenset({
    "algorithm", "array", "bit", "cassert", "cfloat", "cinttypes", "climits", "cmath", "complex",
    "concepts", "cstddef", "cstdint", "cstdio", "cstdlib", "cstring", "functional",
    "initializer_list", "iterator", "limits", "numeric", "ratio", "tuple", "type_traits",
    "utility", "version",
    "assert.h", "float.h", "inttypes.h", "limits.h", "math.h", "stdbool.h", "stddef.h",
    "stdint.h", "stdio.h", "stdlib.h", "string.h",
})  # fmt: skip

_TRANSLATED = {
    "cooperative_groups.h": "hip/hip_cooperative_groups.h",
    "cuComplex.h": "hip/hip_complex.h",
    "cuda_bf16.h": "hip/hip_bf16.h",
    "cuda_fp16.h": "hip/hip_fp16.h",
    "cuda_fp8.h": "hip/hip_fp8.h",
    "math_constants.h": "hip/hip_math_constants.h",
    "vector_types.h": "hip/hip_vector_types.h",
}

_ON_HOST = frozenset({
    "hip/hip_runtime_api.h", "hip/hiprtc.h", "hip/hip_gl_interop.h", "hip/hip_profile.h",
})  # fmt: skip

_LIBRARIES = {
    "hipcub/": {"hipcub", "cub"},
    "rocprim/": {"rocprim"},
    "rocwmma/": {"rocwmma"},
    "thrust/": {"thrust"},
    "hiprand/hiprand_kernel": {"hiprand_init", "hiprandState", "hiprandState_t"},
    "rocrand/rocrand_kernel": {"rocrand_init"},
}
"""Device libraries by the start of their headers' paths, with words that show their use."""

_NEEDED_BY = {
    "cassert": {"assert"},
    "cfloat": {"FLT_MAX", "FLT_MIN", "FLT_EPSILON", "DBL_MAX", "DBL_MIN", "DBL_EPSILON"},
    "climits": {"INT_MAX", "INT_MIN", "UINT_MAX", "LLONG_MAX", "LLONG_MIN", "CHAR_BIT"},
    "cmath": {"M_PI", "M_SQRT2", "M_SQRT1_2", "M_2_SQRTPI", "M_LOG2E", "INFINITY", "NAN"},
    "cstdint": {
        "int8_t", "uint8_t", "int16_t", "uint16_t", "int32_t", "uint32_t", "int64_t", "uint64_t",
        "INT32_MAX", "UINT32_MAX", "INT64_MAX", "uintptr_t",
    },
    "cstdio": {"printf"},
    "limits": {"numeric_limits"},
    "type_traits": {
        "is_same", "is_same_v", "enable_if", "enable_if_t", "conditional", "conditional_t",
        "is_integral", "is_floating_point", "remove_cv_t", "decay_t", "true_type", "false_type",
    },
    "hip/hip_bf16.h": {"__hip_bfloat16", "__hip_bfloat162", "__nv_bfloat16"},
    "hip/hip_bfloat16.h": {"hip_bfloat16"},
    "hip/hip_complex.h": {"hipFloatComplex", "hipDoubleComplex", "hipComplex", "hipCmul"},
    "hip/hip_cooperative_groups.h": {"cooperative_groups"},
    "hip/hip_fp16.h": {"__half", "__half2", "half", "half2", "__float2half", "__half2float"},
}  # fmt: skip

_PATH = re.compile(r"""^\s*[<"]?\s*(/|~|[A-Za-z]:|.*\.\.(/|\\))""")


def header_of(argument: str) -> str:
    """`cmath` of `<cmath>` or `"cmath"`."""
    return argument.strip().strip('<>"').strip()


def is_outside_path(argument: str) -> bool:
    """Whether an `#include` names a file by an absolute path or climbs out of its folder."""
    return _PATH.match(argument) is not None


def allowed(header: str, words: Collection[str]) -> str | None:
    """The header that a capsule using `words` includes in place of `header`; None for none."""
    header = _TRANSLATED.get(header, header)
    if header in _STANDARD:
        return header
    if header.startswith("hip/") and ".." not in header and header not in _ON_HOST:
        return header
    for prefix, markers in _LIBRARIES.items():
        if header.startswith(prefix) and ".." not in header:
            return header if not markers.isdisjoint(words) else None
    return None


def include_lines(headers: Iterable[str], words: Collection[str]) -> str:
    """The `#include` lines of a capsule that uses `words`; HIP's runtime always comes first.

    `headers` are those that the file includes; what it got through others is added by name.
    """
    kept = [RUNTIME, *(h for header in headers if (h := allowed(header, words)))]
    kept += [h for h, needing in _NEEDED_BY.items() if not needing.isdisjoint(words)]
    return "".join(f"#include <{header}>\n" for header in dict.fromkeys(kept))
