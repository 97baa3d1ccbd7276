"""Kernels compute on the CPU device what they compute on a GPU."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from hipopt.device.interface import Fault, Launched
from hipopt.records import DType, Scalar

RNG = np.random.default_rng(7)


def floats(*shape: int) -> Any:
    """Fresh normal float32 numbers."""
    return RNG.standard_normal(shape).astype(np.float32)


def scalar(value: float, dtype: DType = "int32") -> Scalar:
    """A scalar argument."""
    return Scalar(name="s", scalar=dtype, value=value)


SAXPY = """
__global__ void k(const float* __restrict__ x, float* y, float a, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = a * x[i] + y[i];
}
"""


def test_saxpy(cpu: Any) -> None:
    """A grid whose last block is partial computes every element and leaves its input alone."""
    x, y = floats(1000), floats(1000)
    args = [x, y, scalar(2.5, "float32"), scalar(1000)]
    got = cpu.outputs(SAXPY, args, grid=(4, 1, 1), block=(256, 1, 1))
    np.testing.assert_array_equal(got[0], x)
    np.testing.assert_allclose(got[1], 2.5 * x + y, rtol=1e-6)


def test_tiled_matmul(cpu: Any) -> None:
    """Static LDS, barriers in a loop and a two-dimensional grid."""
    source = """
    #define T 16
    __global__ void __launch_bounds__(256) k(const float* a, const float* b, float* c, int n) {
        __shared__ float ta[T][T], tb[T][T + 1];
        int x = threadIdx.x, y = threadIdx.y, row = blockIdx.y * T + y, col = blockIdx.x * T + x;
        float sum = 0.0f;
        for (int t = 0; t < n / T; ++t) {
            ta[y][x] = a[row * n + t * T + x];
            tb[y][x] = b[(t * T + y) * n + col];
            __syncthreads();
            for (int i = 0; i < T; ++i) sum += ta[y][i] * tb[i][x];
            __syncthreads();
        }
        c[row * n + col] = sum;
    }
    """
    a, b = floats(64, 64), floats(64, 64)
    args = [a, b, np.zeros_like(a), scalar(64)]
    got = cpu.outputs(source, args, grid=(4, 4, 1), block=(16, 16, 1))
    np.testing.assert_allclose(got[2], a @ b, rtol=1e-4, atol=1e-4)
    assert cpu.compile(source).resources.lds_bytes == 4 * 16 * (16 + 17)


def test_dynamic_lds(cpu: Any) -> None:
    """Arrays of dynamic LDS, whatever their names and types, share one address."""
    source = """
    extern __shared__ float whole[];
    __device__ void put(int i, float v) { extern __shared__ __align__(16) int bits[];
        bits[i] = __float_as_int(v); }
    __global__ void k(float* x) {
        put(threadIdx.x, x[threadIdx.x]);
        __syncthreads();
        x[threadIdx.x] = whole[blockDim.x - 1 - threadIdx.x];
    }
    """
    x = floats(256)
    got = cpu.outputs(source, [x], block=(256, 1, 1), lds_bytes=1024)
    np.testing.assert_array_equal(got[0], x[::-1])


def test_lds_is_not_zero(cpu: Any) -> None:
    """What a block finds in its LDS is neither zero nor what an earlier block left there."""
    source = """
    __global__ void k(float* x) {
        __shared__ float s[64];
        extern __shared__ float d[];
        x[blockIdx.x * 64 + threadIdx.x] = s[threadIdx.x] + d[threadIdx.x];
        s[threadIdx.x] = d[threadIdx.x] = 1.0f;
    }
    """
    got = cpu.outputs(source, [np.zeros(128, np.float32)], grid=(2, 1, 1), lds_bytes=256)
    assert np.isnan(got[0]).all()


REDUCE = """
template <class T> __device__ T wave_sum(T v) {
    for (int d = warpSize / 2; d > 0; d /= 2) v += __shfl_down(v, d);
    return v;
}
__global__ void k(const float* x, float* out, int n) {
    __shared__ float part[16];
    float v = 0.0f;
    for (int i = threadIdx.x; i < n; i += blockDim.x) v += x[i];
    v = wave_sum(v);
    if (threadIdx.x % 64 == 0) part[threadIdx.x / 64] = v;
    __syncthreads();
    if (threadIdx.x < 64) {
        v = threadIdx.x < blockDim.x / 64 ? part[threadIdx.x] : 0.0f;
        v = wave_sum(v);
        if (threadIdx.x == 0) *out = v;
    }
}
"""


@pytest.mark.parametrize("threads", [64, 256, 1024])
def test_shuffle_reduction(cpu: Any, threads: int) -> None:
    """A block reduction by shuffles, with up to 1024 threads parked at once."""
    x = floats(5000)
    args = [x, np.zeros(1, np.float32), scalar(5000)]
    got = cpu.outputs(REDUCE, args, block=(threads, 1, 1))
    np.testing.assert_allclose(got[1][0], x.sum(), rtol=1e-4, atol=1e-3)


def test_shuffles(cpu: Any) -> None:
    """Up, down, xor and indexed shuffles with a width, for 2 to 16 byte values, as HIP defines."""
    source = """
    __global__ void k(int* o, double* d, half* h, float4* f) {
        int i = threadIdx.x;
        o[i] = __shfl(i, 3, 16);
        o[64 + i] = __shfl_up(i, 2, 32);
        o[128 + i] = __shfl_down(i, 5, 16);
        o[192 + i] = __shfl_xor(i, 9);
        o[256 + i] = __shfl_xor_sync(0xffffffffffffffffull, (long long)i, 1, 2);
        d[i] = __shfl(d[i], 63 - i);
        h[i] = __shfl(h[i], i ^ 1);
        f[i] = __shfl(f[i], 0);
    }
    """
    lane = np.arange(64, dtype=np.int32)
    d, h = lane * 0.5, lane.astype(np.float16)
    f = np.repeat(lane, 4).astype(np.float32)
    o, d2, h2, f2 = cpu.outputs(source, [np.zeros(320, np.int32), d, h, f + 1])
    np.testing.assert_array_equal(o[:64], lane // 16 * 16 + 3)
    np.testing.assert_array_equal(o[64:128], np.where(lane % 32 < 2, lane, lane - 2))
    np.testing.assert_array_equal(o[128:192], np.where(lane % 16 + 5 < 16, lane + 5, lane))
    np.testing.assert_array_equal(o[192:256], lane ^ 9)
    np.testing.assert_array_equal(o[256:], lane ^ 1)
    np.testing.assert_array_equal(d2, d[::-1])
    np.testing.assert_array_equal(h2, h[lane ^ 1])
    np.testing.assert_array_equal(f2, np.ones(256))


def test_votes(cpu: Any) -> None:
    """ballot, any and all speak for the lanes that are there, in diverged code too."""
    source = """
    __global__ void k(unsigned long long* o) {
        int i = threadIdx.x;
        unsigned long long b = __ballot(i % 3 == 0);
        int any = __any(i == 7), all = __all(i < 48);
        unsigned long long m = 0;
        if (i < 8) m = __activemask();
        if (i == 40) { o[0] = b; o[1] = any; o[2] = all; o[3] = m; }
        if (i == 5) o[4] = m;
    }
    """
    got = cpu.outputs(source, [np.zeros(5, np.uint64)], block=(48, 1, 1))
    assert got[0].tolist() == [sum(1 << i for i in range(0, 48, 3)), 1, 1, 0, 255]


def test_diverged_lanes_reconverge(cpu: Any) -> None:
    """A wave operation in a branch runs with the branch's lanes, the one behind it with all."""
    source = """
    __global__ void k(int* o) {
        int i = threadIdx.x, v = 1;
        if (i < 16) v = __popcll(__ballot(1));
        for (int d = 32; d > 0; d /= 2) v += __shfl_xor(v, d);
        o[i] = v;
    }
    """
    got = cpu.outputs(source, [np.zeros(64, np.int32)])
    assert set(got[0].tolist()) == {16 * 16 + 48}


def test_histogram(cpu: Any) -> None:
    """Atomics on LDS and on buffers."""
    source = """
    __global__ void k(const unsigned char* x, unsigned* bins, int n) {
        __shared__ unsigned local[256];
        local[threadIdx.x] = 0;
        __syncthreads();
        for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
            atomicAdd(&local[x[i]], 1);
        __syncthreads();
        atomicAdd(&bins[threadIdx.x], local[threadIdx.x]);
    }
    """
    x = RNG.integers(0, 256, 10_000, dtype=np.uint8)
    args = [x, np.zeros(256, np.uint32), scalar(10_000)]
    got = cpu.outputs(source, args, grid=(4, 1, 1), block=(256, 1, 1))
    np.testing.assert_array_equal(got[1], np.bincount(x, minlength=256))


def test_atomics(cpu: Any) -> None:
    """Every read-modify-write returns the old value and stores HIP's new one."""
    source = """
    __global__ void k(unsigned* u, float* f, unsigned long long* l, double* d, int* old) {
        atomicInc(&u[0], 2); atomicDec(&u[1], 9); atomicAnd(&u[2], 6u); atomicOr(&u[3], 8u);
        atomicXor(&u[4], 1u); old[0] = atomicExch(&u[5], 77u); old[1] = atomicCAS(&u[6], 5u, 6u);
        atomicMin((int*)&u[7], -3); atomicSub(&u[8], 1u);
        atomicAdd(&f[0], 1); atomicMax(&f[1], 3.0f); unsafeAtomicAdd(&f[2], 0.5f);
        atomicMax(&l[0], 1ull << 40); atomicAdd(&d[0], 0.25); atomicAdd_system(&d[1], 1.0);
    }
    """
    u = np.full(9, 5, np.uint32)
    args = [u, np.ones(3, np.float32), np.ones(1, np.uint64), np.ones(2), np.zeros(2, np.int32)]
    got = cpu.outputs(source, args, block=(1, 1, 1))
    assert got[0].tolist() == [0, 4, 4, 13, 4, 77, 6, 2**32 - 3, 4]
    assert got[1].tolist() == [2.0, 3.0, 1.5]
    assert (got[2][0], *got[3].tolist(), *got[4].tolist()) == (1 << 40, 1.25, 2.0, 5, 5)


@pytest.mark.parametrize(
    ("ctype", "dtype", "name"),
    [
        ("double", np.float64, "float64"),
        ("half", np.float16, "float16"),
        ("__hip_bfloat16", ml_dtypes.bfloat16, "bfloat16"),
        ("long long", np.int64, "int64"),
        ("unsigned char", np.uint8, "uint8"),
        ("short", np.int16, "int16"),
    ],
)
def test_dtypes(cpu: Any, ctype: str, dtype: Any, name: DType) -> None:
    """Buffers and scalars of every width arrive and come back as what they are."""
    source = f"""
    #include <hip/hip_fp16.h>
    #include <hip/hip_bf16.h>
    __global__ void k(const {ctype}* x, {ctype}* y, {ctype} a, bool twice) {{
        int i = threadIdx.x;
        y[i] = x[i] * a;
        if (twice) y[i] += x[i];
    }}
    """
    x = np.arange(64).astype(dtype)
    args = [x, np.zeros_like(x), scalar(3, name), scalar(1, "bool")]
    got = cpu.outputs(source, args)
    np.testing.assert_array_equal(got[1].astype(np.float64), (np.arange(64) * 4).astype(dtype))


def test_half_rounds_each_operation(cpu: Any) -> None:
    """Half arithmetic gives numpy's float16, through scalars, pairs and conversions."""
    source = """
    #include <hip/hip_fp16.h>
    __global__ void k(const half* a, const half* b, half* s, half2* p, float* f) {
        int i = threadIdx.x;
        s[i] = a[i] * b[i] + a[i];
        half2 v = __halves2half2(a[i], b[i]);
        p[i] = __hadd2(__hmul2(v, v), __float2half2_rn(0.5f));
        f[i] = __half2float(__hdiv(a[i], b[i])) + (float)a[i];
    }
    """
    a, b = floats(64).astype(np.float16), floats(64).astype(np.float16) + np.float16(3)
    args = [a, b, np.zeros_like(a), np.zeros(128, np.float16), np.zeros(64, np.float32)]
    got = cpu.outputs(source, args)
    np.testing.assert_array_equal(got[2], a * b + a)
    np.testing.assert_array_equal(got[3][::2], a * a + np.float16(0.5))
    np.testing.assert_array_equal(got[4], (a / b).astype(np.float32) + a.astype(np.float32))


def test_vector_loads(cpu: Any) -> None:
    """float4 loads, arithmetic and stores on buffers of any length."""
    source = """
    __global__ void k(const float* x, float4* y, int n4) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i >= n4) return;
        float4 v = reinterpret_cast<const float4*>(x)[i];
        v = v * 2.0f + make_float4(1.0f, 2.0f, 3.0f, 4.0f);
        v.w -= 4.0f;
        y[i] = v;
    }
    """
    x = floats(1028)
    args = [x, np.zeros_like(x), scalar(257)]
    got = cpu.outputs(source, args, grid=(5, 1, 1))
    offset = np.tile(np.array([1, 2, 3, 0], np.float32), 257)
    np.testing.assert_allclose(got[1], x * 2 + offset, rtol=1e-5, atol=1e-6)


def test_template_kernel(cpu: Any) -> None:
    """A template kernel is instantiated with the workload's template arguments."""
    source = """
    template <typename T, int N> __global__ void k(T* x) {
        __shared__ T s[N];
        s[threadIdx.x] = x[threadIdx.x];
        __syncthreads();
        x[threadIdx.x] = s[N - 1 - threadIdx.x] + N;
    }
    """
    x = np.arange(32.0)
    got = cpu.outputs(source, [x], block=(32, 1, 1), template=("double", "32"))
    np.testing.assert_array_equal(got[0], x[::-1] + 32)


def test_namespaced_kernel_and_constant(cpu: Any) -> None:
    """A kernel in a namespace, beside a device function of its name, with a constant table."""
    source = """
    namespace a { namespace b {
    __constant__ float table[4] = {1, 2, 3, 4};
    struct Op { float scale; __device__ float operator()(float v) const { return v * scale; } };
    __global__ void k(float* x) { x[threadIdx.x] = Op{table[threadIdx.x % 4]}(x[threadIdx.x]); }
    }}
    """
    got = cpu.outputs(source, [np.ones(8, np.float32)], kernel="a::b::k", block=(8, 1, 1))
    assert got[0].tolist() == [1, 2, 3, 4] * 2


def test_returned_threads_are_not_waited_for(cpu: Any) -> None:
    """Threads that return early do not hold up a later barrier."""
    source = """
    __global__ void k(int* x, int n) {
        __shared__ int s[256];
        if (threadIdx.x >= n) return;
        s[threadIdx.x] = threadIdx.x;
        __syncthreads();
        x[threadIdx.x] = s[n - 1 - threadIdx.x] + __syncthreads_count(threadIdx.x % 2);
    }
    """
    args = [np.zeros(256, np.int32), scalar(100)]
    got = cpu.outputs(source, args, block=(256, 1, 1))
    np.testing.assert_array_equal(got[0][:100], np.arange(99, -1, -1) + 50)
    assert not got[0][100:].any()


def test_waves_may_take_different_barriers(cpu: Any) -> None:
    """Waves that specialise meet at barriers of different lines, as on the hardware."""
    source = """
    __global__ void k(int* x) {
        __shared__ int s[64];
        if (threadIdx.x < 64) {
            s[threadIdx.x] = threadIdx.x;
            __syncthreads();
        } else {
            __syncthreads();
            x[threadIdx.x - 64] = s[127 - threadIdx.x];
        }
    }
    """
    got = cpu.outputs(source, [np.zeros(64, np.int32)], block=(128, 1, 1))
    np.testing.assert_array_equal(got[0], np.arange(63, -1, -1))


def test_three_dimensional_indices(cpu: Any) -> None:
    """threadIdx, blockIdx and their dimensions are right in x, y and z, across waits too."""
    source = """
    __global__ void k(int* x) {
        __syncthreads();
        int t = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
        int b = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + hipBlockIdx_x;
        x[b * blockDim.x * blockDim.y * blockDim.z + t] = b * 1000 + t;
    }
    """
    got = cpu.outputs(source, [np.zeros(24 * 30, np.int32)], grid=(2, 3, 4), block=(5, 3, 2))
    blocks, threads = np.divmod(np.arange(24 * 30), 30)
    np.testing.assert_array_equal(got[0], blocks * 1000 + threads)


def test_cooperative_groups(cpu: Any) -> None:
    """Tiles of a block reduce among themselves."""
    source = """
    #include <hip/hip_cooperative_groups.h>
    namespace cg = cooperative_groups;
    __global__ void k(int* x) {
        auto block = cg::this_thread_block();
        cg::thread_block_tile<16> tile = cg::tiled_partition<16>(block);
        int v = x[block.thread_rank()];
        for (int d = tile.size() / 2; d > 0; d /= 2) v += tile.shfl_down(v, d);
        block.sync();
        if (tile.thread_rank() == 0) x[tile.meta_group_rank()] = v;
    }
    """
    got = cpu.outputs(source, [np.arange(64, dtype=np.int32)])
    assert got[0][:4].tolist() == np.arange(64).reshape(4, 16).sum(1).tolist()


def test_a_grid_is_a_group(cpu: Any) -> None:
    """Threads know their place in the grid; one block's are waited for, several are refused."""
    source = """
    #include <hip/hip_cooperative_groups.h>
    namespace cg = cooperative_groups;
    __global__ void k(int* x, int* y, int wait) {
        cg::grid_group grid = cg::this_grid();
        const auto i = grid.thread_rank();
        const int v = x[grid.size() - 1 - i];
        if (wait) grid.sync();
        (wait ? x : y)[i] = v + static_cast<int>(grid.num_blocks());
    }
    """
    values = np.arange(8, dtype=np.int32)
    got = cpu.outputs(source, [values, values, scalar(1)], block=(4, 2, 1))
    assert got[0].tolist() == [8, 7, 6, 5, 4, 3, 2, 1]
    got = cpu.outputs(source, [values, values, scalar(0)], grid=(2, 1, 1), block=(4, 1, 1))
    assert got[1].tolist() == [9, 8, 7, 6, 5, 4, 3, 2]
    with cpu.device.open(cpu.compile(source)) as session:
        session.load((2, 1, 1), (4, 1, 1), 0, [values, values, scalar(1)])
        assert isinstance(session.launch(10), Fault)


def test_intrinsics(cpu: Any) -> None:
    """Integer and conversion intrinsics give what HIP documents."""
    source = """
    __global__ void k(long long* o, float* f) {
        o[0] = __popc(255u); o[1] = __clz(1); o[2] = __ffs(8); o[3] = __brev(1u);
        o[4] = __umulhi(1u << 31, 6u); o[5] = __byte_perm(0x33221100u, 0x77665544u, 0x7410u);
        o[6] = __float2int_rn(2.5f); o[7] = __float2int_ru(2.1f); o[8] = __float2int_rz(-2.9f);
        o[9] = __float_as_int(1.0f); o[10] = min(3, 4u); o[11] = __clzll(1ll);
        f[0] = __int2float_rz(16777219); f[1] = __fdividef(1.0f, 4.0f); f[2] = rsqrtf(4.0f);
        f[3] = max(1, 2.5f); f[4] = __saturatef(7.0f); f[5] = fmaxf(__expf(0.0f), 0.5f);
    }
    """
    args = [np.zeros(12, np.int64), np.zeros(6, np.float32)]
    got = cpu.outputs(source, args, block=(1, 1, 1))
    assert got[0].tolist() == [
        8, 31, 4, 1 << 31, 3, 0x77441100, 2, 3, -2, 0x3F800000, 3, 63,
    ]  # fmt: skip
    assert got[1].tolist() == [16777218.0, 0.25, 0.5, 2.5, 1.0, 1.0]


def test_printf_is_swallowed(cpu: Any) -> None:
    """A kernel that prints runs, and its output goes nowhere."""
    source = """__global__ void k(int* x) { printf("thread %d\\n", threadIdx.x); *x = 1; }"""
    assert cpu.outputs(source, [np.zeros(1, np.int32)], grid=(100, 1, 1))[0][0] == 1


def test_launches_start_from_loaded_content(cpu: Any) -> None:
    """Every launch sees what was loaded, and one session takes loads of different shapes."""
    with cpu.device.open(cpu.compile(SAXPY)) as session:
        for n, threads in ((1000, 256), (100_000, 64), (3, 64)):
            x, y = floats(n), floats(n)
            blocks = -(-n // threads)
            args = [x, y, scalar(1, "float32"), scalar(n)]
            assert session.load((blocks, 1, 1), (threads, 1, 1), 0, args) is None
            for _ in range(3):
                launched = session.launch(10)
                assert isinstance(launched, Launched)
                assert launched.time_us > 0
                got = session.read()
                assert isinstance(got, list)
                np.testing.assert_allclose(got[1], x + y, rtol=1e-6)


def test_time_grows_with_work(cpu: Any) -> None:
    """The time of a launch is the child's CPU time: a hundred times the work shows."""
    source = """__global__ void k(volatile int* x, int n) { for (int i = 0; i < n; ++i) *x = i; }"""
    times = []
    with cpu.device.open(cpu.compile(source)) as session:
        for n in (100_000, 10_000_000):
            args = [np.zeros(1, np.int32), scalar(n)]
            assert session.load((1, 1, 1), (1, 1, 1), 0, args) is None
            times.append(min(session.launch(10).time_us for _ in range(3)))
    assert times[1] > 20 * times[0]


def test_rarer_functions_of_device_libraries(cpu: Any) -> None:
    """Inverse error functions undo them, and norms, Bessel functions are as tables have them."""
    source = """
    __global__ void k(const float* x, float* f, double* d) {
        f[0] = erff(erfinvf(x[0])), f[1] = erfcf(erfcinvf(x[1]));
        f[2] = normcdff(normcdfinvf(x[0])), f[3] = normf(3, x);
        f[4] = rnorm4df(2.0f, 4.0f, 5.0f, 6.0f);
        d[0] = erf(erfinv(1e-3)), d[1] = erfc(erfcinv(1e-200)), d[2] = erfinv(-1.0);
        d[3] = cyl_bessel_i0(1.0), d[4] = cyl_bessel_i1(-1.0);
    }
    """
    x = np.array([0.3, 1.9, 0.5], np.float32)
    _, f, d = cpu.outputs(source, [x, np.zeros(5, np.float32), np.zeros(5)])
    wanted = [0.3, 1.9, 0.3, np.linalg.norm(x), 1 / 9]
    np.testing.assert_allclose(f, wanted, rtol=1e-5)
    np.testing.assert_allclose(d, [1e-3, 1e-200, -np.inf, 1.26606587775, -0.56515910399], rtol=1e-9)


def test_pairs_of_halves_compare_and_saturate(cpu: Any) -> None:
    """Comparisons of pairs give ones and zeros; saturated arithmetic stays from zero to one."""
    source = """
    __global__ void k(const __half* x, float* f) {
        const __half2 a = {x[0], x[1]}, b = {x[1], x[1]};
        const __half2 less = __hlt2(a, b), sum = __hadd2_sat(a, b), log = h2log10(b);
        f[0] = __low2float(less), f[1] = __high2float(less), f[2] = __hbge2(b, a);
        f[3] = __low2float(sum), f[4] = __high2float(sum), f[5] = __low2float(log);
        f[6] = __hltu(x[2], x[0]), f[7] = __hisnan(__hmax_nan(x[2], x[0]));
    }
    """
    x = np.array([-20, 10, np.nan], np.float16)
    got = cpu.outputs(source, [x, np.zeros(8, np.float32)])[1]
    np.testing.assert_array_equal(got, [1, 0, 1, 0, 1, 1, 1, 1])


def test_tiles_reduce_with_an_operation(cpu: Any) -> None:
    """Every lane of a tile gets the sum, or the greatest, of its tile's values."""
    source = """
    namespace cg = cooperative_groups;
    __global__ void k(const int* x, int* sums, int* most) {
        const auto tile = cg::tiled_partition<8>(cg::this_thread_block());
        const int i = threadIdx.x;
        sums[i] = cg::reduce(tile, x[i], cg::plus<int>());
        most[i] = cg::reduce(tile, x[i], cg::greater<int>{});
    }
    """
    x = RNG.integers(-99, 99, 64).astype(np.int32)
    empty = np.zeros(64, np.int32)
    got = cpu.outputs(source, [x, empty, empty.copy()], block=(64, 1, 1))
    tiles = x.reshape(8, 8)
    np.testing.assert_array_equal(got[1], np.repeat(tiles.sum(1), 8))
    np.testing.assert_array_equal(got[2], np.repeat(tiles.max(1), 8))


def test_vectors_and_numbers(cpu: Any) -> None:
    """A number on the left of a vector stands for each element; a vector is counted up by one."""
    source = """
    __global__ void k(const float4* x, float4* y) {
        float4 v = x[0];
        const float4 first = v++, third = ++v;
        y[0] = 2.0f * first + (3 - third) / 2.0f;
    }
    """
    x = np.array([1, 2, 3, 4], np.float32)
    got = cpu.outputs(source, [x, np.zeros(4, np.float32)])[1]
    np.testing.assert_array_equal(got, 2 * x + (1 - x) / 2)
