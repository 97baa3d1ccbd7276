// HIP for a CPU: what a kernel finds when it includes <hip/hip_runtime.h>. Precompiled.
#ifndef HIPOPT_EMULATION_HPP
#define HIPOPT_EMULATION_HPP

// Standard headers first: they use names that become macros below.
#include <algorithm>
#include <cassert>
#include <cfloat>
#include <climits>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <tuple>
#include <type_traits>
#include <utility>
#include <math.h>
#include <stdint.h>

#include "entry.hpp"
#include "execution.hpp"
#include "vectors.hpp"

#include "qualifiers.hpp"
#include "unset.hpp"

#include "atomics.hpp"
#include "integers.hpp"
#include "maths.hpp"

#include "halves.hpp"
#include "bfloat16.hpp"

#include "half_functions.hpp"
#include "waves.hpp"

#include "amdgcn.hpp"
#include "cooperative_groups.hpp"

// A kernel can't look away from the microscope.
#undef HIPOPT_UNTRACED
#define no_sanitize(...)
#define __no_sanitize__(...)
#define no_sanitize_thread
#define __no_sanitize_thread__
#define no_sanitize_undefined
#define __no_sanitize_undefined__
#define disable_sanitizer_instrumentation

#endif
