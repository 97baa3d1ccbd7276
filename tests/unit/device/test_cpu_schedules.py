"""Launches run in the order and with the rounding that they are asked for, each as if the first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hipopt.device.interface import CompileFailure, Direction, Fault, Launched, Rounding, Schedule

ORDER = """
__global__ void k(int* next, int* order) {
    __shared__ int s[1];
    int i = blockIdx.x * blockDim.x * blockDim.y + threadIdx.y * blockDim.x + threadIdx.x;
    order[atomicAdd(next, 1)] = i;
    __syncthreads();
    order[atomicAdd(next, 1)] = i;
}
"""
BLOCKS, THREADS = 3, 150


def launched(session: Any, schedule: Schedule) -> list[Any]:
    """The buffers after a launch in that order, which must end well."""
    done = session.launch(10, schedule)
    assert isinstance(done, Launched), done
    buffers = session.read()
    assert not isinstance(buffers, Fault), buffers
    return buffers


def order_of(cpu: Any, schedule: Schedule) -> list[list[int]]:
    """The threads of each block in the order in which they began; blocks as they came."""
    args = [np.zeros(1, np.int32), np.zeros(2 * BLOCKS * THREADS, np.int32)]
    with cpu.device.open(cpu.compile(ORDER)) as session:
        assert session.load((BLOCKS, 1, 1), (50, 3, 1), 0, args) is None
        order = launched(session, schedule)[1].reshape(BLOCKS, 2, THREADS)
    for half in order.reshape(-1, THREADS):
        assert sorted(half % THREADS) == list(range(THREADS))
    return [[int(i) for i in block[0]] for block in order]


def test_forward_and_reverse(cpu: Any) -> None:
    """Forward is ascending in threads and blocks, reverse is descending."""
    everything = list(range(BLOCKS * THREADS))
    forward = order_of(cpu, Schedule())
    assert [i for block in forward for i in block] == everything
    backward = order_of(cpu, Schedule(threads="reverse", blocks="reverse"))
    assert [i for block in backward for i in block] == everything[::-1]


def test_shuffled(cpu: Any) -> None:
    """Lanes, waves and blocks are shuffled by the seed; the same seed gives the same order."""
    first, again, other = (
        order_of(cpu, Schedule(threads="shuffled", blocks="shuffled", seed=seed))
        for seed in (5, 5, 6)
    )
    assert first == again
    assert first != other
    assert sorted(i for block in first for i in block) == list(range(BLOCKS * THREADS))
    waves = {tuple(i % THREADS // 64 for i in block) for seed in range(8)
             for block in order_of(cpu, Schedule(threads="shuffled", seed=seed))}  # fmt: skip
    assert len({(w[0], w[-1]) for w in waves}) > 2
    blocks = {
        tuple(block[0] // THREADS for block in order_of(cpu, Schedule(blocks="shuffled", seed=s)))
        for s in range(8)
    }
    assert len(blocks) > 2


@pytest.mark.parametrize("direction", ["reverse", "shuffled"])
def test_every_block_runs_once(cpu: Any, direction: Direction) -> None:
    """Whatever the number of blocks, each runs exactly once."""
    source = """
    __global__ void k(int* x) {
        x[(blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x] += 1;
    }
    """
    with cpu.device.open(cpu.compile(source)) as session:
        for grid in ((1, 1, 1), (2, 1, 1), (7, 5, 3), (1000, 1, 1), (64, 64, 1)):
            count = int(np.prod(grid))
            assert session.load(grid, (1, 1, 1), 0, [np.zeros(count, np.int32)]) is None
            (x,) = launched(session, Schedule(blocks=direction, seed=count))
            assert (x == 1).all()


def test_wave_operations_in_any_order(cpu: Any) -> None:
    """Shuffles and barriers give what they give, in any order of the threads."""
    source = """
    __global__ void k(const int* x, int* y) {
        __shared__ int s[256];
        int t = threadIdx.x;
        s[t] = x[t] + __shfl_xor(x[t], 1) + __shfl_down(x[t], 3);
        __syncthreads();
        y[t] = s[255 - t];
    }
    """
    x = np.arange(256, dtype=np.int32) * 7 % 101
    results = []
    with cpu.device.open(cpu.compile(source)) as session:
        assert session.load((1, 1, 1), (256, 1, 1), 0, [x, np.zeros(256, np.int32)]) is None
        for threads in ("forward", "reverse", "shuffled"):
            results.append(launched(session, Schedule(threads=threads, seed=3))[1].tolist())
    assert results[0] == results[1] == results[2]


ROUNDING = """
__global__ void k(const float* x, float* y, int* z) {
    y[0] = x[0] / x[1];
    y[1] = rintf(x[2]);
    y[2] = nearbyintf(x[3]);
    z[0] = __float2int_rn(x[3]);
    z[1] = (int)lrintf(x[2]);
    y[3] = rintf(-2.5f * x[0]);
    y[4] = (float)rint(3.5 * x[0]);
}
"""


def test_rounding(cpu: Any) -> None:
    """Arithmetic follows the rounding asked for; rounding to an integer stays to nearest even."""
    x = np.array([1, 3, 0.4, 0.6], np.float32)
    found: dict[Rounding, float] = {}
    with cpu.device.open(cpu.compile(ROUNDING)) as session:
        args = [x, np.zeros(5, np.float32), np.zeros(2, np.int32)]
        assert session.load((1, 1, 1), (1, 1, 1), 0, args) is None
        for rounding in ("up", "down", "zero", "nearest"):
            _, y, z = launched(session, Schedule(rounding=rounding))
            found[rounding] = float(y[0])
            assert (y[1:].tolist(), z.tolist()) == ([0, 1, -2, 4], [1, 0])
    nearest = np.float32(1) / np.float32(3)  # above a third
    below = float(np.nextafter(nearest, np.float32(0)))
    above = float(nearest)
    assert found == {"up": above, "nearest": above, "down": below, "zero": below}


STASHES = {
    "global": "__device__ int hoard; __global__ void k(int* x) { x[0] = hoard; hoard = 7; }",
    "initialised": """
        __device__ int hoard = 3;
        __global__ void k(int* x) { x[0] = hoard - 3; hoard = 7; }
    """,
    "static": "__global__ void k(int* x) { static int hoard; x[0] = hoard; hoard = 7; }",
    "template": """
        template <int N> struct S { static int hoard; };
        template <int N> int S<N>::hoard = N;
        __global__ void k(int* x) { x[0] = S<4>::hoard - 4; S<4>::hoard = 7; }
    """,
    "thread-local": """
        thread_local int hoard = 3;
        __global__ void k(int* x) { x[0] = hoard - 3; hoard = 7; }
    """,
    "stack": """
        __device__ __attribute__((noinline)) int peek(int i) { volatile int a[64]; return a[i]; }
        __device__ __attribute__((noinline)) void put(int i) { volatile int a[64]; a[i] = 7; }
        __global__ void k(int* x) { x[0] = peek(9); put(9); }
    """,
    "deep": """
        __device__ __attribute__((noinline)) int peek(int i) { volatile int a[9999]; return a[i]; }
        __device__ __attribute__((noinline)) void put(int i) { volatile int a[9999]; a[i] = 7; }
        __global__ void k(int* x) { x[0] = peek(9); put(9); }
    """,
    "heap": """
        __global__ void k(int* x) {
            volatile int* p = (int*)malloc(64);
            x[0] = p[8] == 7;
            p[8] = 7;
            free((void*)p);
        }
    """,
}  # fmt: skip


@pytest.mark.parametrize("stash", STASHES)
def test_nothing_is_kept(cpu: Any, stash: str) -> None:
    """What a launch leaves in globals, statics, stack or heap is gone before the next."""
    with cpu.device.open(cpu.compile(STASHES[stash])) as session:
        assert session.load((1, 1, 1), (1, 1, 1), 0, [np.full(1, -1, np.int32)]) is None
        first = int(launched(session, Schedule())[0][0])
        assert session.load((1, 1, 1), (1, 1, 1), 0, [np.full(1, -1, np.int32)]) is None
        for _ in range(2):
            assert int(launched(session, Schedule())[0][0]) == first != 7


def test_initialised_globals_stay(cpu: Any) -> None:
    """Constants that are computed at start are there in every launch."""
    source = """
    __device__ float seed() { return 6.25f; }
    __constant__ float root = sqrtf(seed());
    __global__ void k(float* x) { x[0] = root; }
    """
    with cpu.device.open(cpu.compile(source)) as session:
        assert session.load((1, 1, 1), (1, 1, 1), 0, [np.zeros(1, np.float32)]) is None
        assert [float(launched(session, Schedule())[0][0]) for _ in range(3)] == [2.5] * 3


def test_section_of_its_own(cpu: Any) -> None:
    """Data in a section that is not restored between launches is refused."""
    source = """
    __attribute__((section("hoard"))) int hoard = 1;
    __global__ void k(int* x) { x[0] = hoard++; }
    """
    failure = cpu.device.compile(cpu.capsule(source), (), 60.0)
    assert isinstance(failure, CompileFailure)
    assert "hoard" in failure.output


def test_addresses(cpu: Any) -> None:
    """Every load draws fresh addresses, unless they are to be kept; alignment is the same."""
    source = (
        "__global__ void k(float* x, long long* y) { y[0] = (long long)x; y[1] = (long long)y; }"
    )
    seen = []
    with cpu.device.open(cpu.compile(source)) as session:
        for keep in (False, False, True, True, False):
            args = [np.zeros(300, np.float32), np.zeros(2, np.int64)]
            assert session.load((1, 1, 1), (1, 1, 1), 0, args, keep_addresses=keep) is None
            seen.append(tuple(launched(session, Schedule())[1].tolist()))
    assert seen[1] == seen[2] == seen[3]
    assert len({seen[0], seen[1], seen[4]}) == 3
    assert len({x % 4096 for x, _ in seen}) == 1
