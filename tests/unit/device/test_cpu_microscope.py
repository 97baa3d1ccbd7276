"""The microscope shows how far a kernel reaches, and stops every access that it may not make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hipopt.device.interface import Reach, Schedule
from hipopt.records import Scalar, Verdict

FLOATS = np.arange(100, dtype=np.float32)
INTS = np.zeros(100, np.int32)


def number(value: int) -> Scalar:
    """An int argument."""
    return Scalar(name="n", scalar="int32", value=value)


def test_reach(cpu: Any) -> None:
    """Reads and writes are told apart, to the byte, and so are the threads that did anything."""
    source = """
    __global__ void k(const float* x, float* y, int* z, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i >= n) return;
        y[i + 2] += x[2 * i + 1];
        if (i == 0) z[7] = 1;
        else if (i == 1) atomicAdd(&z[3], 1);
    }
    """
    look = cpu.look(source, [FLOATS, FLOATS, INTS, number(9)], grid=(2, 1, 1), block=(32, 1, 1))
    assert look.fault is None
    assert look.observation.reaches == (
        Reach(read=(4, 72), written=None),
        Reach(read=(8, 44), written=(8, 44)),
        Reach(read=(12, 16), written=(12, 32)),
    )
    assert (look.observation.threads, look.observation.busy_threads) == (64, 9)
    assert look.observation.race is None
    assert look.observation.lockstep is None


def test_instrumented_results_are_the_same(cpu: Any) -> None:
    """An instrumented kernel computes what the plain one does, launch after launch."""
    source = """
    __global__ void k(const float* x, float* y) {
        __shared__ float s[100];
        s[threadIdx.x] = sqrtf(x[threadIdx.x]);
        __syncthreads();
        float4 v = make_float4(1, 2, 3, 4);
        y[threadIdx.x] = s[99 - threadIdx.x] * v.z + __shfl_xor(s[threadIdx.x], 1);
    }
    """
    args = [FLOATS, np.zeros(100, np.float32)]
    plain = cpu.outputs(source, args, block=(100, 1, 1))
    for schedule in (Schedule(), Schedule(threads="shuffled", seed=1)):
        look = cpu.look(source, args, block=(100, 1, 1), schedule=schedule)
        assert [b.tobytes() for b in look.buffers] == [b.tobytes() for b in plain]


def test_room(cpu: Any) -> None:
    """Within the room beside a buffer reads give zeros, writes are lost, and both are seen."""
    source = """
    __global__ void k(const float* x, float* y) {
        y[0] = x[-3] + x[99] + x[100] + x[5000];
        y[-2] = y[4000] = 1;
    }
    """
    room = 1 << 16
    code = cpu.device.compile_instrumented(cpu.capsule(source), (), 60.0)
    with cpu.device.open_instrumented(code) as session:
        args = [FLOATS, np.zeros(3, np.float32)]
        assert session.load((1, 1, 1), (1, 1, 1), 0, args, room_bytes=room) is None
        for _ in range(2):
            session.launch(10)
            assert session.observe().reaches == (
                Reach(read=(-12, 20004), written=None), Reach(read=None, written=(-8, 16004)),
            )  # fmt: skip
            assert session.read()[1].tolist() == [99, 0, 0]


def test_beyond_the_room(cpu: Any) -> None:
    """What goes beyond the room is a fault, and yet seen."""
    source = "__global__ void k(float* x, int n) { x[n] = x[1]; }"
    look = cpu.look(source, [FLOATS, number(1 << 20)], block=(1, 1, 1), room_bytes=1 << 16)
    assert look.fault.verdict == Verdict.OUT_OF_BOUNDS
    assert look.observation.reaches[0] == Reach(read=(4, 8), written=(4 << 20, (4 << 20) + 4))


HEAD = "__global__ void k(float* x, int* y, int n) {\n int t = threadIdx.x;\n if (t != 5) return;\n"

OUTSIDE = {
    "over-read into padding": ("x[0] = x[101];", "read 4 bytes behind the end", "argument 1"),
    "one behind the end": ("y[100] = n;", "wrote 0 bytes behind the end", "argument 2"),
    "before the start": ("x[n - 101] = 1;", "wrote 4 bytes before the start", "element -1"),
    "half a vector": (
        "float4* v = (float4*)x; v[n / 4] = v[n / 4 - 1];", "behind the end", "argument 1",
    ),
    "atomic": ("atomicAdd(&y[n], 1);", "atomically changed 0 bytes behind the end", "argument 2"),
    "memcpy": ("memcpy(x, x + 50, 4 * n);", "behind the end", "argument 1"),
    "memset": ("memset(y + 1, 0, 4 * n);", "behind the end", "argument 2"),
    "bytes": ("((volatile char*)x)[4 * n] = 1;", "wrote 0 bytes behind", "argument 1"),
    "another thread's stack": ("x[0] = *(float*)((char*)&t - 400000 * n);", "read", "read"),
    "wild": ("*(volatile float*)((char*)x + (3ull << 45)) = 1;", "neither a buffer", "wrote"),
    "null": ("int* p = 0; p[n & 3] = 1;", "null pointer", "wrote"),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_buffers_are_exact(cpu: Any, name: str) -> None:
    """An access outside a buffer is a fault with argument, element, thread and line."""
    statement, *words = OUTSIDE[name]
    look = cpu.look(f"{HEAD} {statement}\n}}", [FLOATS, INTS, number(100)])
    assert look.fault is not None
    for word in (*words, "line 5", "thread (5,0,0) of block (0,0,0)"):
        assert word in look.fault.reason
    expected = Verdict.CRASHED if name == "null" else Verdict.OUT_OF_BOUNDS
    assert look.fault.verdict == expected


LDS = """
template <int W> __global__ void k(float* x, int n) {
    __shared__ float before[32];
    __shared__ float tile[4][W];
    __shared__ float behind[32];
    extern __shared__ float rest[];
    float* p = n < 0 ? x : &tile[0][0];
    int t = threadIdx.x;
    before[t] = behind[t] = rest[t] = x[t];
    if (t < 4 * W) p[t] = 0;
    __syncthreads();
    x[t] = before[t] + behind[31 - t] + rest[t] + TOUCH;
}
"""

LDS_TOUCHES = {
    "p[n]": "LDS array 'tile'",
    "p[-1]": "LDS",
    "behind[n]": "",
    "rest[n]": "dynamic LDS, byte 128",
    "tile[t & 3][W + n]": "",
    "tile[3][t / 16 + n % 7]": "",
}


@pytest.mark.parametrize("touch", LDS_TOUCHES)
def test_lds_arrays_lie_apart(cpu: Any, touch: str) -> None:
    """Each array in LDS ends where it ends, whatever lies behind it."""
    look = cpu.look(
        LDS.replace("TOUCH", touch), [FLOATS, number(32)],
        block=(32, 1, 1), lds_bytes=128, template=("8",),
    )  # fmt: skip
    inside = touch.startswith("tile[3]")
    assert (look.fault is None) == inside
    if not inside:
        assert look.fault.verdict == Verdict.OUT_OF_BOUNDS
        assert LDS_TOUCHES[touch] in look.fault.reason
        assert "line 13" in look.fault.reason


def test_row_of_another(cpu: Any) -> None:
    """A row's end inside an array is no fault: the memory is the array's own."""
    source = """
    __global__ void k(float* x) {
        __shared__ float tile[8][8];
        int t = threadIdx.x;
        tile[0][t] = x[t];
        __syncthreads();
        x[t] = tile[t % 8][t / 8];
    }
    """
    look = cpu.look(source, [FLOATS])
    assert look.fault is None
    assert look.buffers[0][1] == 8


UNDEFINED = {
    "local array": (
        "float a[8]; for (int i = 0; i < 8; ++i) a[i] = x[i]; x[0] = a[n / 12];",
        Verdict.OUT_OF_BOUNDS, "beyond the end of an array",
    ),
    "local pointer": (
        "float a[8]; float* p = a + y[0]; for (int i = 0; i < 8; ++i) a[i] = x[i]; p[n] = 1;"
        "x[0] = a[y[1]];",
        Verdict.OUT_OF_BOUNDS, "beyond the end of an array",
    ),
    "misaligned": ("*(float4*)(x + 1) = make_float4(1, 2, 3, 4);", Verdict.CRASHED, "not aligned"),
    "division": ("y[0] = n / y[1];", Verdict.CRASHED, "division by zero"),
    "conversion": ("y[0] = (int)(x[9] * 1e30f);", Verdict.CRASHED, "can't hold"),
    "no return": (
        "auto f = [](int v) -> int { if (v < 0) return 1; }; y[0] = f(n);",
        Verdict.CRASHED, "returns a value",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNDEFINED)
def test_undefined_behaviour(cpu: Any, name: str) -> None:
    """What C++ leaves undefined, and a GPU might do otherwise, is a fault with its line."""
    statement, verdict, words = UNDEFINED[name]
    look = cpu.look(f"{HEAD} {statement}\n}}", [FLOATS, INTS, number(100)])
    assert look.fault is not None
    assert (look.fault.verdict, words in look.fault.reason) == (verdict, True), look.fault.reason
    assert "line 5" in look.fault.reason


DEFINED = {
    "overflow": "y[0] = n * 0x7FFFFFFF + y[1];",
    "shift": "y[0] = n << (n & 63);",
    "negative shift": "y[0] = -n << 3;",
    "own array": "float a[8]; for (int i = 0; i < 8; ++i) a[i] = x[i]; x[0] = a[n & 7];",
    "own pointer": "float v = x[1]; float* p = &v; p[n - 100] += 1; x[0] = v;",
    "aligned vector": "((float4*)x)[24] = ((float4*)x)[0];",
    "pair": "((float2*)x)[49] = make_float2(x[0], x[1]);",
    "union": "union { float f; int i; } u; u.f = x[3]; y[0] = u.i;",
    "constants": "const float c[4] = {1, 2, 3, 4}; const float* p = c; x[0] = p[n & 3];",
    "memcpy": "int bits; memcpy(&bits, &x[99], 4); y[99] = bits; memset(y, 0, 4 * n);",
    "large heap": "char* p = (char*)malloc(1 << 20); p[n] = 1; y[0] = p[n]; free(p);",
    "heap": "float* p = new float[n]; p[n - 1] = 1; x[0] = p[n - 1]; delete[] p;",
}


@pytest.mark.parametrize("name", DEFINED)
def test_honest_code(cpu: Any, name: str) -> None:
    """What hardware defines, and what stays within its own memory, is no fault."""
    look = cpu.look(f"{HEAD} {DEFINED[name]}\n}}", [FLOATS, INTS, number(100)])
    assert look.fault is None, look.fault.reason
    assert look.observation.race is None


def test_global_arrays(cpu: Any) -> None:
    """Device constants may be read as far as they go."""
    source = """
    __constant__ float table[4] = {1, 2, 3, 4};
    __global__ void k(float* x, int n) { x[threadIdx.x] = table[(threadIdx.x & 3) + n]; }
    """
    assert cpu.look(source, [FLOATS, number(0)]).fault is None
    fault = cpu.look(source, [FLOATS, number(1)]).fault
    assert fault.verdict == Verdict.OUT_OF_BOUNDS
    assert "thread (3,0,0)" in fault.reason


def test_other_faults_are_observed_too(cpu: Any) -> None:
    """A launch that traps shows how far it had come."""
    source = "__global__ void k(int* y) { y[threadIdx.x] = 1; if (threadIdx.x == 9) __trap(); }"
    look = cpu.look(source, [INTS])
    assert look.fault.verdict == Verdict.CRASHED
    assert look.observation.reaches[0].written == (0, 40)
    assert look.observation.busy_threads == 10


@pytest.mark.parametrize(
    "attribute", ['no_sanitize("thread", "undefined")', "no_sanitize_thread", "HIPOPT_UNTRACED"]
)
def test_no_looking_away(cpu: Any, attribute: str) -> None:
    """Code can't exempt itself from being looked at."""
    mark = attribute if attribute.isupper() else f"__attribute__(({attribute}))"
    source = f"""
    #ifdef HIPOPT_UNTRACED
    #define TRY HIPOPT_UNTRACED
    #else
    #define TRY {mark.replace("HIPOPT_UNTRACED", "")}
    #endif
    #if defined(HIPOPT_MICROSCOPE) || defined(__SANITIZE_THREAD__)
    #error "it looks"
    #endif
    TRY __attribute__((noinline)) void put(float* x, int n) {{ x[n] = 1; }}
    TRY __global__ void k(float* x, int n) {{ put(x, n); }}
    """
    fault = cpu.look(source, [FLOATS, number(101)], block=(1, 1, 1)).fault
    assert fault is not None
    assert "wrote 4 bytes behind the end" in fault.reason
    assert "line 11" in fault.reason


def test_no_trouble(cpu: Any) -> None:
    """The compiler of this machine can instrument."""
    assert cpu.device.microscope_trouble is None


def test_a_variable_that_is_not_set_differs(cpu: Any) -> None:
    """Its content is far below all data in the plain build, and far above in the instrumented."""
    source = """
    template <class T> __device__ T plus(T x) { T sum; sum += x; return sum; }
    __global__ void k(const float* x, float* y, int* z) {
        float most;
        for (int i = 0; i < 100; ++i) most = fmaxf(most, x[i]);
        y[threadIdx.x] = most;
        z[threadIdx.x] = plus(1);
    }
    """
    args = [FLOATS, np.zeros(100, np.float32), INTS]
    plain = cpu.outputs(source, args, block=(100, 1, 1))
    look = cpu.look(source, args, block=(100, 1, 1))
    assert plain[1][0] == 99
    assert look.buffers[1][0] > 1e30
    assert plain[2][0] < 0 < look.buffers[2][0]


def test_a_jump_past_a_variable_is_compiled_all_the_same(cpu: Any) -> None:
    """Which may not have an initialiser then."""
    source = """
    __global__ void k(const float* x, float* y) {
        switch (threadIdx.x % 2) {
            float twice;
            case 0: twice = x[threadIdx.x]; y[threadIdx.x] = 2 * twice; break;
            default: y[threadIdx.x] = 1;
        }
    }
    """
    look = cpu.look(source, [FLOATS, np.zeros(100, np.float32)], block=(100, 1, 1))
    assert look.fault is None
    assert list(look.buffers[1][:4]) == [0, 1, 4, 1]
