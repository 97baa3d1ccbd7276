"""Launches beyond 16 bits, found beside given ones."""

from __future__ import annotations

import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.judge.judge import Judge
from hipopt.judge.options import Prepared
from hipopt.records import Buffer, Judgement, Scalar, Verdict, Workload
from hipopt.source.slice import slice_kernel
from hipopt.source.splice import SpliceFailure, splice
from hipopt.workload.resize import resized, values_of

SCALE_ROWS = """
__global__ void k(const float* a, float* b, int rows, int cols) {
    int row = blockIdx.y * blockDim.y + threadIdx.y;
    int col = blockIdx.x * blockDim.x + threadIdx.x;
    if (row < rows && col < cols) b[row * cols + col] = 2.0f * a[row * cols + col];
}
"""


def rows_by_columns(rows: int, columns: int) -> Workload:
    floats = [
        Buffer(name=n, buffer="float32", length=rows * columns, fill="normal") for n in ("a", "b")
    ]
    sizes = [
        Scalar(name=n, scalar="int32", value=v) for n, v in (("rows", rows), ("cols", columns))
    ]
    grid = (-(-columns // 16), -(-rows // 16), 1)
    return Workload(grid=grid, block=(16, 16, 1), args=(*floats, *sizes))


GIVEN = (rows_by_columns(37, 53), rows_by_columns(64, 96))


@pytest.fixture(scope="module")
def prepared(cpu_device: CpuDevice) -> Prepared:
    ready = Judge(cpu_device).prepare(slice_kernel(SCALE_ROWS, "k"), GIVEN)
    assert isinstance(ready, Prepared)
    return ready


def judged(device: CpuDevice, prepared: Prepared, was: str, becomes: str) -> Judgement:
    candidate = splice(prepared.reference, SCALE_ROWS.replace(was, becomes))
    assert not isinstance(candidate, SpliceFailure)
    return Judge(device).judge(prepared, candidate)


def test_each_extent_is_once_beyond_16_bits(prepared: Prepared) -> None:
    """Beside the given workloads, which stay first and are timed, stands one for each scalar."""
    assert prepared.workloads[:2] == GIVEN
    longest = [max(values_of(w).items(), key=lambda v: v[1]) for w in prepared.workloads[2:]]
    assert sorted(longest) == [("cols", 70_001), ("rows", 70_001)]
    assert [w.timed for w in prepared.workloads] == [True, True, False, False]
    assert {w.block for w in prepared.workloads} == {(16, 16, 1)}
    assert prepared.reasons[:2] == ("given", "given")
    assert all("beyond 16 bits" in reason for reason in prepared.reasons[2:])


@pytest.mark.parametrize("narrow", ["short", "unsigned short", "unsigned char"])
@pytest.mark.parametrize("index", ["row", "col"])
def test_a_narrowed_index_is_caught(
    cpu_device: CpuDevice, prepared: Prepared, index: str, narrow: str
) -> None:
    """Both indices are right on the given workloads in 16 bits, and wrong on the long ones."""
    verdict = judged(cpu_device, prepared, f"int {index} =", f"{narrow} {index} =").verdict
    assert not verdict.correct


def test_an_honest_candidate_is_timed_on_a_given_workload(
    cpu_device: CpuDevice, prepared: Prepared
) -> None:
    """Whatever the long ones take."""
    judgement = judged(cpu_device, prepared, "2.0f * a", "a")
    assert judgement.verdict is Verdict.MISMATCH
    judgement = judged(cpu_device, prepared, "row * cols + col", "col + row * cols")
    assert judgement.verdict.correct
    assert judgement.timing is not None
    assert judgement.timing.workload in (0, 1)


def test_recorded_workloads_get_no_others(cpu_device: CpuDevice, prepared: Prepared) -> None:
    """So that a verdict is replayed on the workloads that it was found on."""
    again = Judge(cpu_device).prepare(prepared.reference, prepared.workloads)
    assert isinstance(again, Prepared)
    assert again.workloads == prepared.workloads


def test_grid_and_lengths_follow_the_scalars() -> None:
    """As they do from one given launch to the next."""
    long = resized(GIVEN[0], {"rows": 70_001, "cols": 3}, GIVEN)
    assert long.grid == (1, 4376, 1)
    assert {b.length for b in long.buffers} == {210_003}


SCALE_PLANES = """
__global__ void k(const float* a, const float* by, float* b, int plane) {
    for (int p = threadIdx.x; p < plane; p += blockDim.x) {
        b[blockIdx.x * plane + p] = by[blockIdx.x] * a[blockIdx.x * plane + p];
    }
}
"""
ADD_ONE = """
__global__ void k(const float* a, float* b, int n) {
    const int stride = gridDim.x * blockDim.x;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) b[i] += a[i] + 1.0f;
}
"""


def planes(blocks: int, plane: int) -> Workload:
    floats = [
        Buffer(name=n, buffer="float32", length=length, fill="normal")
        for n, length in (("a", blocks * plane), ("by", blocks), ("b", blocks * plane))
    ]
    size = Scalar(name="plane", scalar="int32", value=plane)
    return Workload(grid=(blocks, 1, 1), block=(64, 1, 1), args=(*floats, size))


def few_blocks(blocks: int, n: int) -> Workload:
    floats = [Buffer(name=name, buffer="float32", length=n, fill="normal") for name in ("a", "b")]
    size = Scalar(name="n", scalar="int32", value=n)
    return Workload(grid=(blocks, 1, 1), block=(64, 1, 1), args=(*floats, size))


@pytest.mark.parametrize(
    ("source", "given", "was", "becomes"),
    [
        (SCALE_PLANES, (planes(5, 49), planes(12, 200)), "p += blockDim.x", "p += gridDim.x"),
        (ADD_ONE, (few_blocks(3, 500), few_blocks(8, 3000)), "const int stride", "short stride"),
    ],
)
def test_more_blocks_than_threads(
    cpu_device: CpuDevice, source: str, given: tuple[Workload, ...], was: str, becomes: str
) -> None:
    """A grid mistaken for a block, or its threads counted in 16 bits, is caught there alone."""
    judge = Judge(cpu_device)
    ready = judge.prepare(slice_kernel(source, "k"), given)
    assert isinstance(ready, Prepared)
    candidate = splice(ready.reference, source.replace(was, becomes))
    assert not isinstance(candidate, SpliceFailure)
    judgement = judge.judge(ready, candidate)
    assert judgement.mismatch is not None
    number = judgement.mismatch.workload
    assert "more blocks than threads" in ready.reasons[number]
    assert ready.workloads[number].grid[0] > 64
