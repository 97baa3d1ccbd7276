"""The microscope finds accesses that nothing orders, and raises no alarm about those that are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hipopt.device.interface import Schedule
from hipopt.records import Scalar

SCHEDULES = (
    Schedule(),
    Schedule(threads="reverse", blocks="reverse"),
    Schedule(threads="shuffled", blocks="shuffled", seed=3),
)
N = 512
FLOATS = np.arange(N, dtype=np.float32)
INTS = (np.arange(N) * 7 % 61).astype(np.int32)
ZEROS = np.zeros(N, np.int32)
COUNT = Scalar(name="n", scalar="int32", value=N)

REDUCE = """
__global__ void k(const float* x, float* y, int n) {
    extern __shared__ float s[];
    int t = threadIdx.x;
    s[t] = x[blockIdx.x * blockDim.x + t];
    FIRST
    for (int h = blockDim.x / 2; h > LAST; h /= 2) {
        if (t < h) s[t] += s[t + h];
        LOOP
    }
    TAIL
    if (t == 0) y[blockIdx.x] = s[0];
}
"""
TILED = """
template <int T> __global__ void k(const float* a, float* c, int n) {
    __shared__ float s[T][T + 1];
    int x = threadIdx.x, y = threadIdx.y;
    float sum = 0;
    for (int m = 0; m < 4; ++m) {
        s[y][x] = a[(blockIdx.x * T + y) % 16 * 16 + (m * T + x) % 16];
        FIRST
        for (int i = 0; i < T; ++i) sum += s[y][i] * s[i][x];
        SECOND
    }
    c[blockIdx.x * T * T + y * T + x] = sum;
}
"""
HISTOGRAM = """
__global__ void k(const int* x, int* bins, int n) {
    __shared__ int local[64];
    int t = threadIdx.x;
    if (t < 64) local[t] = 0;
    FIRST
    for (int i = blockIdx.x * blockDim.x + t; i < n; i += gridDim.x * blockDim.x)
        atomicAdd(&local[x[i]], 1);
    SECOND
    if (t < 64) FLUSH;
}
"""
LAST_BLOCK = """
__device__ unsigned ticket = 0;
__global__ void k(const float* x, float* y, int n) {
    __shared__ float s[128];
    __shared__ bool last;
    int t = threadIdx.x;
    s[t] = x[blockIdx.x * blockDim.x + t];
    __syncthreads();
    if (t == 0) {
        float sum = 0;
        for (int i = 0; i < 128; ++i) sum += s[i];
        y[1 + blockIdx.x] = sum;
        FENCE
        last = TICKET == gridDim.x - 1;
    }
    __syncthreads();
    if (last && t == 0) {
        float sum = 0;
        for (int i = 0; i < gridDim.x; ++i) sum += y[1 + i];
        y[0] = sum;
        ticket = 0;
    }
}
"""
SCAN = """
__global__ void k(const float* x, float* y, int n) {
    __shared__ float s[2][256];
    int t = threadIdx.x, from = 0;
    s[0][t] = x[t];
    __syncthreads();
    for (int d = 1; d < 256; d *= 2) {
        INTO
        LOOP
    }
    y[t] = s[from][t];
}
"""
WAVES = """
__global__ void k(const float* x, float* y, int n) {
    __shared__ float s[4];
    int t = threadIdx.x;
    float v = x[blockIdx.x * blockDim.x + t];
    for (int d = 32; d > 0; d /= 2) v += __shfl_down(v, d);
    if (t % 64 == 0) s[t / 64] = v;
    FIRST
    if (t == 0) y[blockIdx.x] = s[0] + s[1] + s[2] + s[3];
}
"""
STENCIL = """
__global__ void k(const float* x, float* y, int n) {
    __shared__ float s[130];
    int t = threadIdx.x, i = blockIdx.x * 128 + t;
    s[t + 1] = x[i];
    if (t == 0) s[0] = i > 0 ? x[i - 1] : 0;
    if (t == 127) s[129] = i + 1 < n ? x[i + 1] : 0;
    FIRST
    OUT = s[t] + s[t + 1] + s[t + 2];
}
"""
HALVES = """
__global__ void k(const float* x, float* y, int n) {
    __shared__ __half s[256];
    __shared__ char c[256];
    int t = threadIdx.x;
    s[t] = x[t];
    c[t] = (char)t;
    FIRST
    y[t] = (float)s[255 - t] + c[255 - t];
}
"""
MAXIMUM = """
__device__ float bigger(float* p, float v) {
    int* a = (int*)p;
    int old = FIRST, seen;
    do {
        seen = old;
        if (__int_as_float(seen) >= v) break;
        old = atomicCAS(a, seen, __float_as_int(v));
    } while (old != seen);
    return __int_as_float(old);
}
__global__ void k(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    OUT
}
"""
LOCK = """
__global__ void k(const float* x, float* y, int* lock) {
    if (threadIdx.x == 0) {
        while (atomicCAS(lock, 0, 1) != 0) {}
        FIRST
        y[0] += x[blockIdx.x];
        FENCE
        BACK
    }
}
"""
FLAGS = """
__global__ void k(const float* x, float* y, int* flag) {
    if (threadIdx.x != 0) return;
    int b = blockIdx.x;
    float carry = 0;
    if (b > 0 && WAIT) { FENCE carry = y[b - 1]; }
    y[b] = carry + x[b];
    FENCE
    SIGNAL
}
"""
MARK = """
__global__ void k(const int* x, int* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (x[i] > 3) y[0] = VALUE;
    y[1 + i % 64] = 7;
}
"""
INPLACE = """
__global__ void k(float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float v = x[FROM];
    x[i] = v * 2;
}
"""
COUNT_ALL = """
__global__ void k(const int* x, int* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    ADD
}
"""
SYNC = "__syncthreads();"
CAS = "*a"

# name: source, replacements, first argument, second, grid, block; what is found in which lines
Case = tuple[str, dict[str, str], Any, Any, Any, Any]
REDUCED = {"FIRST": SYNC, "LAST": "0", "LOOP": SYNC, "TAIL": ""}
DOUBLE = "s[1 - from][t] = s[from][t] + (t >= d ? s[from][t - d] : 0);"
FENCED = {"FENCE": "__threadfence();", "TICKET": "atomicAdd(&ticket, 1u)"}
HONEST: dict[str, Case] = {
    "reduction": (REDUCE, REDUCED, FLOATS, FLOATS, 2, 256),
    "tiled product": (TILED, {"FIRST": SYNC, "SECOND": SYNC}, FLOATS, FLOATS, 2, (16, 16)),
    "histogram": (
        HISTOGRAM, {"FIRST": SYNC, "SECOND": SYNC, "FLUSH": "atomicAdd(&bins[t], local[t])"},
        INTS, ZEROS, 2, 128,
    ),
    "last block": (LAST_BLOCK, FENCED, FLOATS, FLOATS, 4, 128),
    "last block, ordered atomic": (
        LAST_BLOCK,
        {"FENCE": "", "TICKET": "__hip_atomic_fetch_add(&ticket, 1u, __ATOMIC_ACQ_REL, "
                                "__HIP_MEMORY_SCOPE_AGENT)"},
        FLOATS, FLOATS, 4, 128,
    ),
    "last block, builtin": (
        LAST_BLOCK,
        {"FENCE": "", "TICKET": "__atomic_fetch_add(&ticket, 1u, __ATOMIC_ACQ_REL)"},
        FLOATS, FLOATS, 4, 128,
    ),
    "scan": (SCAN, {"INTO": DOUBLE, "LOOP": f"from = 1 - from; {SYNC}"}, FLOATS, FLOATS, 1, 256),
    "waves": (WAVES, {"FIRST": SYNC}, FLOATS, FLOATS, 2, 256),
    "stencil": (STENCIL, {"FIRST": SYNC, "OUT": "y[i]"}, FLOATS, FLOATS, 4, 128),
    "halves": (HALVES, {"FIRST": SYNC}, FLOATS, FLOATS, 1, 256),
    "maximum by compare and swap": (
        MAXIMUM, {"FIRST": CAS, "OUT": "bigger(&y[0], x[i]);"}, FLOATS, FLOATS, 2, 128,
    ),
    "maximum with a first look": (
        COUNT_ALL, {"ADD": "if (x[i] > y[0]) atomicMax(&y[0], x[i]);"}, INTS, ZEROS, 2, 128,
    ),
    "lock": (
        LOCK, {"FIRST": "__threadfence();", "FENCE": "__threadfence();",
               "BACK": "atomicExch(lock, 0);"}, FLOATS, FLOATS, 4, 64,
    ),
    "lock given back plainly": (
        LOCK, {"FIRST": "", "FENCE": "__threadfence();", "BACK": "*lock = 0;"},
        FLOATS, FLOATS, 4, 64,
    ),
    "volatile flags": (
        FLAGS, {"WAIT": "((volatile int*)flag)[b - 1] != 0", "FENCE": "__threadfence();",
                "SIGNAL": "((volatile int*)flag)[b] = 1;"}, FLOATS, FLOATS, 4, 64,
    ),
    "atomic flags": (
        FLAGS, {"WAIT": "atomicAdd(&flag[b - 1], 0) != 0", "FENCE": "__threadfence();",
                "SIGNAL": "atomicExch(&flag[b], 1);"}, FLOATS, FLOATS, 4, 64,
    ),
    "all write the same": (MARK, {"VALUE": "1"}, INTS, ZEROS, 2, 128),
    "in place": (INPLACE, {"FROM": "i"}, FLOATS, FLOATS, 2, 128),
    "atomics": (COUNT_ALL, {"ADD": "atomicAdd(&y[x[i]], 1);"}, INTS, ZEROS, 2, 128),
}  # fmt: skip
RACES: dict[str, tuple[Case, tuple[str, ...]]] = {
    "reduction, no first barrier": (
        (REDUCE, REDUCED | {"FIRST": ""}, FLOATS, FLOATS, 2, 256), ("dynamic LDS", "line 6"),
    ),
    "reduction, no barrier in the loop": (
        (REDUCE, REDUCED | {"LOOP": ""}, FLOATS, FLOATS, 2, 256), ("dynamic LDS", "line 9"),
    ),
    "tiled product, no first barrier": (
        (TILED, {"FIRST": "", "SECOND": SYNC}, FLOATS, FLOATS, 2, (16, 16)),
        ("LDS array 's'", "line 8", "line 10"),
    ),
    "tiled product, no second barrier": (
        (TILED, {"FIRST": SYNC, "SECOND": ""}, FLOATS, FLOATS, 2, (16, 16)),
        ("LDS array 's'", "line 8", "line 10"),
    ),
    "histogram, bins not ready": (
        (HISTOGRAM, {"FIRST": "", "SECOND": SYNC, "FLUSH": "atomicAdd(&bins[t], local[t])"},
         INTS, ZEROS, 2, 128),
        ("LDS array 'local'", "atomically changes", "line 9"),
    ),
    "histogram, bins not complete": (
        (HISTOGRAM, {"FIRST": SYNC, "SECOND": "", "FLUSH": "atomicAdd(&bins[t], local[t])"},
         INTS, ZEROS, 2, 128),
        ("LDS array 'local'", "atomically changes", "line 11"),
    ),
    "histogram, plain sums": (
        (HISTOGRAM, {"FIRST": SYNC, "SECOND": SYNC, "FLUSH": "bins[t] += local[t]"},
         INTS, ZEROS, 2, 128),
        ("argument 2", "nothing orders these blocks", "line 11"),
    ),
    "last block, no fence": (
        (LAST_BLOCK, FENCED | {"FENCE": ""}, FLOATS, FLOATS, 4, 128),
        ("argument 2", "line 13", "line 20", "nothing orders these blocks"),
    ),
    "last block, plain counter": (
        (LAST_BLOCK, FENCED | {"TICKET": "ticket++"}, FLOATS, FLOATS, 4, 128),
        ("a device global", "line 15"),
    ),
    "scan in place": (
        (SCAN, {"INTO": "if (t >= d) s[0][t] += s[0][t - d];", "LOOP": SYNC},
         FLOATS, FLOATS, 1, 256),
        ("LDS array 's'", "line 9"),
    ),
    "scan, no barrier": (
        (SCAN, {"INTO": DOUBLE, "LOOP": "from = 1 - from;"}, FLOATS, FLOATS, 1, 256),
        ("LDS array 's'", "line 9"),
    ),
    "waves, no barrier": (
        (WAVES, {"FIRST": ""}, FLOATS, FLOATS, 2, 256), ("LDS array 's'", "line 8", "line 10"),
    ),
    "stencil, no barrier": (
        (STENCIL, {"FIRST": "", "OUT": "y[i]"}, FLOATS, FLOATS, 4, 128),
        ("LDS array 's'", "line 10"),
    ),
    "stencil, blocks overlap": (
        (STENCIL, {"FIRST": SYNC, "OUT": "y[i % 200]"}, FLOATS, FLOATS, 4, 128),
        ("argument 2", "line 10", "writes it"),
    ),
    "halves, no barrier": (
        (HALVES, {"FIRST": ""}, FLOATS, FLOATS, 1, 256), ("LDS array", "line 10"),
    ),
    "maximum without atomics": (
        (MAXIMUM, {"FIRST": CAS, "OUT": "if (x[i] > y[0]) y[0] = x[i];"}, FLOATS, -FLOATS, 2, 128),
        ("argument 2", "element 0"),
    ),
    "lock, no fence": (
        (LOCK, {"FIRST": "", "FENCE": "", "BACK": "atomicExch(lock, 0);"}, FLOATS, FLOATS, 4, 64),
        ("argument 2", "element 0", "line 7"),
    ),
    "plain flags": (
        (FLAGS, {"WAIT": "flag[b - 1] != 0", "FENCE": "", "SIGNAL": "flag[b] = 1;"},
         FLOATS, FLOATS, 4, 64),
        ("argument", "nothing orders these blocks"),
    ),
    "all write something else": (
        (MARK, {"VALUE": "i"}, INTS, ZEROS, 2, 128), ("argument 2", "element 0", "line 5"),
    ),
    "in place, another's": (
        (INPLACE, {"FROM": "n - 1 - i"}, FLOATS[:256], FLOATS, 2, 128), ("argument 1", "element"),
    ),
    "plain counts": (
        (COUNT_ALL, {"ADD": "y[x[i]] += 1;"}, INTS, ZEROS, 2, 128), ("argument 2", "line 5"),
    ),
}  # fmt: skip
TAIL = """
    if (t < 32) {
        QUALIFIER float* v = s;
        v[t] += v[t + 32]; STEP v[t] += v[t + 16]; STEP v[t] += v[t + 8]; STEP
        v[t] += v[t + 4]; STEP v[t] += v[t + 2]; STEP v[t] += v[t + 1]; STEP
    }
"""
TAILED = REDUCED | {"LAST": "32", "TAIL": TAIL}


def looks(cpu: Any, case: Case) -> Any:
    """What the microscope shows of a case under each schedule."""
    source, changes, first, second, blocks, threads = case
    for old, new in changes.items():
        source = source.replace(old, new)
    block = (*threads, 1) if isinstance(threads, tuple) else (threads, 1, 1)
    third: Any = np.zeros(N, np.int32) if "int* lock" in source or "int* flag" in source else COUNT
    if changes.get("FROM") == "n - 1 - i":
        third = Scalar(name="n", scalar="int32", value=256)
    for schedule in SCHEDULES:
        if third is not COUNT and schedule.blocks != "forward" and "flag" in source:
            continue  # a block waits for those before it
        look = cpu.look(
            source, [first, second, third], grid=(blocks, 1, 1), block=block,
            lds_bytes=1024, schedule=schedule, template=("16",) if "template" in source else (),
        )  # fmt: skip
        assert look.fault is None, look.fault.reason
        yield look.observation


@pytest.mark.parametrize("name", HONEST)
def test_honest_kernels(cpu: Any, name: str) -> None:
    """Kernels that order what they share raise no alarm, in any order of threads and blocks."""
    for seen in looks(cpu, HONEST[name]):
        assert seen.race is None, seen.race.reason
        assert seen.lockstep is None, seen.lockstep.reason


@pytest.mark.parametrize("name", RACES)
def test_races(cpu: Any, name: str) -> None:
    """What nothing orders is found in every order, with place, threads and lines."""
    case, words = RACES[name]
    for seen in looks(cpu, case):
        assert seen.race is not None
        assert not seen.race.within_wave
        assert "thread (" in seen.race.reason
        for word in words:
            assert word in seen.race.reason


@pytest.mark.parametrize("qualifier", ["volatile", ""])
def test_lockstep(cpu: Any, qualifier: str) -> None:
    """Lanes that rely on running in step are named as such, and called no race."""
    tail = TAIL.replace("QUALIFIER", qualifier).replace("STEP", "")
    for seen in looks(cpu, (REDUCE, TAILED | {"TAIL": tail}, FLOATS, FLOATS, 2, 256)):
        assert seen.race is None
        assert seen.lockstep is not None
        assert seen.lockstep.within_wave
        assert "lockstep" in seen.lockstep.reason


def test_waves_in_step(cpu: Any) -> None:
    """Wave operations order the lanes of a wave."""
    tail = """
    if (t < 64) for (int d = 32; d > 0; d /= 2) {
        float v = t < d ? s[t + d] : 0;
        __syncwarp();
        s[t] += v;
        __syncwarp();
    }
    """
    for seen in looks(cpu, (REDUCE, TAILED | {"TAIL": tail, "LAST": "32"}, FLOATS, FLOATS, 2, 256)):
        assert seen.race is None
        assert seen.lockstep is None


def test_launches_are_apart(cpu: Any) -> None:
    """What an earlier launch did is in no conflict with a later one, and is forgotten."""
    source = """
    __global__ void k(int* x, int n) {
        int i = (blockIdx.x * blockDim.x + threadIdx.x) * n;
        if (i < 512) x[i] += 1;
    }
    """
    code = cpu.device.compile_instrumented(cpu.capsule(source), (), 60.0)
    with cpu.device.open_instrumented(code) as session:
        found = []
        for stride in (1, 0, 2):
            args = [ZEROS, Scalar(name="n", scalar="int32", value=stride)]
            assert session.load((2, 1, 1), (128, 1, 1), 0, args, keep_addresses=True) is None
            for schedule in SCHEDULES:
                session.launch(10, schedule)
                found.append(session.observe().race is not None)
        assert found == [False] * 3 + [True] * 3 + [False] * 3


DIVERGED = """
__global__ void k(int* x, int n) {
    int t = threadIdx.x;
    if (t < n) { x[t] = 1; __syncthreads(); }
    else { x[t] = 2; OTHER }
}
"""


def test_divergent_barriers(cpu: Any) -> None:
    """Lanes of a wave at different barriers are a fault; exited ones are waited for by nobody."""
    args = [ZEROS, Scalar(name="n", scalar="int32", value=32)]
    fault = cpu.look(DIVERGED.replace("OTHER", SYNC), args, block=(128, 1, 1)).fault
    assert fault is not None
    assert "different barriers, lines 5 and 6" in fault.reason
    look = cpu.look(DIVERGED.replace("OTHER", ""), args, block=(128, 1, 1))
    assert (look.fault, look.observation.barriers) == (None, None)


def test_waves_at_different_barriers(cpu: Any) -> None:
    """Waves that meet at different barriers are named and go on, as on hardware."""
    args = [ZEROS, Scalar(name="n", scalar="int32", value=64)]
    look = cpu.look(DIVERGED.replace("OTHER", SYNC), args, block=(128, 1, 1))
    assert look.fault is None
    assert "lines 5 and 6" in look.observation.barriers
    look = cpu.look(DIVERGED.replace("OTHER", ""), args, block=(128, 1, 1))
    assert look.observation.barriers is None
