"""Workloads found under the microscope, for kernels of each shape."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.judge.judge import Judge
from hipopt.records import Buffer, Scalar, Workload
from hipopt.source.slice import slice_kernel
from hipopt.workload.case import Diary, FindOptions
from hipopt.workload.find import Found
from hipopt.workload.find import find as find_workloads
from tests.unit.workload.shapes import HOPELESS, KERNELS

Find = Callable[[str], Found]


@pytest.fixture(scope="module")
def find(cpu_device: CpuDevice) -> Find:
    """Finds workloads for a kernel, each kernel once."""
    return cache(lambda source: Judge(cpu_device).find(slice_kernel(source, "k")))


def buffer(workload: Workload, name: str) -> Buffer:
    return next(a for a in workload.args if isinstance(a, Buffer) and a.name == name)


def value(workload: Workload, name: str) -> float:
    return next(a.value for a in workload.args if isinstance(a, Scalar) and a.name == name)


@pytest.mark.parametrize("shape", KERNELS)
def test_workloads_are_found_for_kernels_of_each_shape(find: Find, shape: str) -> None:
    """Several sizes on which a verdict would count, with reasons; the largest timed one is last."""
    found = find(KERNELS[shape])
    assert len(found.workloads) >= 2, found.tried
    assert len(found.reasons) == len(found.workloads)
    lengths = [sum(b.length for b in w.buffers) for w in found.workloads if w.timed]
    assert lengths[-1] == max(lengths)


def test_buffers_are_as_long_as_the_kernel_reaches(find: Find) -> None:
    """In a matrix product the lengths are those of the three matrices."""
    small = find(KERNELS["matmul"]).workloads[0]
    m, n, depth = (int(value(small, name)) for name in ("m", "n", "depth"))
    assert len({m, n, depth}) == 3
    assert buffer(small, "a").length == m * depth
    assert buffer(small, "b").length == depth * n
    assert buffer(small, "c").length == m * n


def test_the_small_size_is_no_multiple_of_the_block(find: Find) -> None:
    """Where the kernel checks its bounds, one workload leaves threads of the last block over."""
    small = find(KERNELS["one_dimension"]).workloads[0]
    assert int(value(small, "n")) % small.block[0] % 64 != 0


def test_a_kernel_without_a_bounds_check_gets_whole_blocks(find: Find) -> None:
    """The buffers hold one element for every thread."""
    for workload in find(KERNELS["no_bounds_check"]).workloads:
        assert buffer(workload, "b").length == workload.grid[0] * workload.block[0]


def test_integers_that_index_stay_below_what_they_index(find: Find) -> None:
    """A gather's table holds every row that an index can name."""
    for workload in find(KERNELS["gather"]).workloads:
        below = buffer(workload, "index").below
        assert below is not None
        assert buffer(workload, "table").length >= below * int(value(workload, "dim"))


def test_row_pointers_are_sorted(find: Find) -> None:
    """A sparse matrix's row pointers never go down, and the columns reach as far as they say."""
    for workload in find(KERNELS["csr_spmv"]).workloads:
        pointers = buffer(workload, "row_ptr")
        assert pointers.fill == "sorted"
        assert buffer(workload, "col").length >= (pointers.high or 0) - 1


def test_blocks_match_static_lds(find: Find) -> None:
    """A tile of 16 by 16 is run by blocks of 16 by 16, a line of 64 by blocks of 64."""
    tiled = find(KERNELS["transpose_with_tile"])
    assert {w.block for w in tiled.workloads} == {(16, 16, 1)}
    softmax = find(KERNELS["row_softmax"])
    assert {w.block for w in softmax.workloads} == {(64, 1, 1)}


def test_dynamic_lds_is_no_more_than_is_used(find: Find) -> None:
    """One float a thread."""
    for workload in find(KERNELS["dynamic_lds"]).workloads:
        assert workload.lds_bytes == 4 * workload.block[0]


def test_the_same_kernel_gets_the_same_workloads(find: Find, cpu_device: CpuDevice) -> None:
    """Nothing is left to chance."""
    source = KERNELS["block_partials"]
    again = Judge(cpu_device).find(slice_kernel(source, "k"))
    assert find(source).workloads[0] == again.workloads[0]


@pytest.mark.parametrize("case", HOPELESS)
def test_what_cannot_be_found_says_what_was_tried(find: Find, case: str) -> None:
    """No workload, and the reason among what was tried."""
    source, said = HOPELESS[case]
    found = find(source)
    assert found.workloads == ()
    assert any(said in reason for reason in found.tried), found.tried


def test_a_kernel_that_copies_by_its_text_is_judged(find: Find) -> None:
    """What a copy has to leave is known; only for other kernels does copying leave work undone."""
    found = find("""
__global__ void k(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i];
}""")
    assert found.workloads, found.tried


def test_constant_data_that_only_a_host_sets_are_given(find: Find) -> None:
    """A filter whose taps would be zeros without a host is computed with others."""
    found = find("""
#define TAPS 5
__constant__ float taps[TAPS];
__global__ void k(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float sum = 0;
  for (int j = 0; j < TAPS; ++j) sum += taps[j] * x[i + j];
  y[i] = sum;
}""")
    assert found.workloads, found.tried


def test_a_scalar_of_one_byte_is_no_extent(find: Find) -> None:
    """It is given a number that it can hold."""
    found = find("""
__global__ void k(const char* x, char* y, char add, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i] + add;
}""")
    assert found.workloads, found.tried


@pytest.mark.parametrize("result", ["logf(x[i])", "sqrtf(x[i] * x[i] - 1)"])
def test_functions_of_positive_numbers_get_such_data(find: Find, result: str) -> None:
    """Where most results would be NaN, the data become positive, and else larger than one."""
    found = find(f"""
__global__ void k(const float* x, float* y, int n) {{
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = {result};
}}""")
    assert found.workloads, found.tried
    assert (buffer(found.workloads[0], "x").low or 0) > 0


def test_device_data_that_only_a_host_sets_are_given(find: Find) -> None:
    """A scale that would be zero without a host is another number."""
    found = find("""
__device__ float scale;
__global__ void k(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = scale * x[i];
}""")
    assert found.workloads, found.tried


def test_flags_are_zeros_and_ones(find: Find) -> None:
    """A kernel that only works where a flag is one finds many that are."""
    found = find("""
__global__ void k(int* frontier, const float* cost, float* next, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n || frontier[i] != 1) return;
  frontier[i] = 0;
  next[i] = cost[i] + 1;
}""")
    assert found.workloads, found.tried
    flags = buffer(found.workloads[0], "frontier")
    assert (flags.low, flags.high) == (0, 2)


def test_what_is_filled_with_a_scalar_is_judged(find: Find) -> None:
    """All elements are one number, but another one for each seed."""
    found = find("""
__global__ void k(float* x, float value, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] = value;
}""")
    assert found.workloads, found.tried


def test_scalars_let_all_parts_of_the_kernel_run(find: Find) -> None:
    """The first launch is of the mode that writes both outputs; other modes may follow."""
    found = find("""
__global__ void k(const float* x, float* y, float* square, int mode, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  y[i] = x[i] + 1;
  if (mode == 2) square[i] = x[i] * x[i];
}""")
    assert value(found.workloads[0], "mode") == 2


def test_what_came_closest_is_told_first() -> None:
    """Launches that ran well and did not count come before those that failed, however many."""
    diary = Diary(deadline=0.0)
    for n in range(20):
        diary.note(f"fault {n}")
        diary.note("it writes nothing")
    diary.note_refused("a kernel that does nothing would pass")
    first, second, *others = diary.summary()
    assert first == "a kernel that does nothing would pass"
    assert second == "it writes nothing (20 times)"
    assert len(others) == 6


def test_a_search_without_time_ends_at_once(cpu_device: CpuDevice) -> None:
    """Nothing is tried, and what was lacking is said."""
    capsule = slice_kernel(KERNELS["one_dimension"], "k")
    found = find_workloads(
        capsule, cpu_device, lambda _: pytest.fail("looked at"), FindOptions(budget_s=0)
    )
    assert found.workloads == ()
    assert found.tried == ("0 s were not enough",)
