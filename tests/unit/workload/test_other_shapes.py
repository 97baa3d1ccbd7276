"""Launches with other blocks or larger grids, and which candidates need be right there."""

from __future__ import annotations

import msgspec
import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.judge.judge import Judge
from hipopt.judge.options import JudgeOptions, Prepared
from hipopt.records import Buffer, Judgement, Scalar, Verdict, Workload
from hipopt.source.capsule import Capsule
from hipopt.source.slice import slice_kernel
from hipopt.source.splice import SpliceFailure, splice
from hipopt.source.usage import Body
from hipopt.workload.grids import spare_blocks
from hipopt.workload.shapes import other_shapes, suits

TRANSPOSE = """
__global__ void k(float* out, const float* in, int width) {
  int x = blockIdx.x * blockDim.x + threadIdx.x;
  int y = blockIdx.y * blockDim.y + threadIdx.y;
  out[y * width + x] = in[x * width + y];
}
"""
WRONG_SIDE = TRANSPOSE.replace("blockIdx.y * blockDim.y", "blockIdx.y * blockDim.x")
TILED = """
__global__ void k(float* out, const float* in, int width) {
  __shared__ float tile[8][9];
  int x = blockIdx.x * 8 + threadIdx.x, y = blockIdx.y * 8 + threadIdx.y;
  tile[threadIdx.y][threadIdx.x] = in[(blockIdx.x * 8 + threadIdx.y) * width + blockIdx.y * 8 + threadIdx.x];
  __syncthreads();
  out[y * width + x] = tile[threadIdx.x][threadIdx.y];
}
"""  # noqa: E501
GUARDED = """
__global__ void k(float* y, const float* x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = 2.0f * x[i];
}
"""
TO_THE_LAST_BLOCK = GUARDED.replace("i < n", "blockIdx.x + 1 < gridDim.x || i < n")
STRIDED = GUARDED.replace("if (i < n)", "for (; i < n; i += gridDim.x * blockDim.x)")


def square(side: int, block: tuple[int, int, int] = (8, 8, 1)) -> Workload:
    data = [
        Buffer(name=name, buffer="float32", length=side * side, fill="normal")
        for name in ("out", "in")
    ]
    width = Scalar(name="width", scalar="int32", value=side)
    grid = (side // block[0], side // block[1], 1)
    return Workload(grid=grid, block=block, args=(*data, width))


def line(n: int, blocks: int, *, timed: bool) -> Workload:
    data = [Buffer(name=name, buffer="float32", length=n, fill="normal") for name in ("y", "x")]
    size = Scalar(name="n", scalar="int32", value=n)
    return Workload(grid=(blocks, 1, 1), block=(64, 1, 1), args=(*data, size), timed=timed)


def capsule(source: str) -> Capsule:
    return slice_kernel(source, "k")


def proposed(source: str, *alike: Workload) -> dict[str, list[Workload]]:
    return dict(other_shapes(Body(capsule(source)).usage, ["width"], alike))


def test_the_same_threads_stand_in_blocks_that_are_no_squares() -> None:
    """Each way round, for each launch, and none of them is timed."""
    (halves, *_) = proposed(TRANSPOSE, square(32)).values()
    assert [(w.grid, w.block) for w in halves] == [
        ((4, 8, 1), (8, 4, 1)),
        ((8, 4, 1), (4, 8, 1)),
    ]
    assert not any(w.timed for w in halves)


def test_blocks_that_are_no_squares_anyhow_need_no_other_sides() -> None:
    """What only squares hide shows in them already."""
    reasons = proposed(TRANSPOSE, square(32), square(32, (16, 4, 1)))
    assert reasons
    assert all("narrow" in reason for reason in reasons)


def test_narrow_blocks_are_more_than_16_bits_count() -> None:
    """As cheap as a launch with few threads in all."""
    ((why, launches),) = proposed(GUARDED, line(500, 8, timed=True)).items()
    assert "beyond 16 bits" in why
    assert [(w.grid[0] > 1 << 15, w.block) for w in launches] == [(True, (4, 1, 1))] * 2


def test_a_spare_grid_has_the_data_of_a_small_launch() -> None:
    """Threads beyond 16 bits, and nothing else is other."""
    small = line(500, 8, timed=True)
    launch = spare_blocks(0, Body(capsule(GUARDED)).usage, [small], [small])[0]
    assert launch.grid[0] * 64 > 1 << 16
    assert msgspec.structs.replace(launch, grid=small.grid, timed=True) == small


@pytest.mark.parametrize(
    ("reference", "candidate", "asked"),
    [
        (GUARDED, GUARDED, True),
        (GUARDED, TO_THE_LAST_BLOCK, False),
        (STRIDED, STRIDED, True),
    ],
)
def test_who_asks_for_the_grid_is_spared_a_larger_one(
    reference: str, candidate: str, *, asked: bool
) -> None:
    """Unless the original asks for it as well."""
    launches = (line(500, 8, timed=True), line(500, 1100, timed=False))
    asks = [suits(w, launches, capsule(reference), capsule(candidate)) for w in launches]
    assert asks == [True, asked]


@pytest.fixture(scope="module")
def prepared(cpu_device: CpuDevice) -> Prepared:
    oblong = msgspec.structs.replace(square(32, (8, 4, 1)), timed=False)
    ready = Judge(cpu_device).prepare(capsule(TRANSPOSE), (square(32), oblong))
    assert isinstance(ready, Prepared)
    return ready


def judged(device: CpuDevice, prepared: Prepared, code: str) -> Judgement:
    candidate = splice(prepared.reference, code)
    assert not isinstance(candidate, SpliceFailure)
    return Judge(device, JudgeOptions(timing_budget_s=0.1)).judge(prepared, candidate)


def test_a_side_mistaken_for_the_other_is_caught(cpu_device: CpuDevice, prepared: Prepared) -> None:
    """The candidate's threads are alone, so it has to be right in every block."""
    judgement = judged(cpu_device, prepared, WRONG_SIDE)
    assert not judgement.verdict.correct
    assert judgement.verdict is not Verdict.REJECTED
    assert judgement.workloads == prepared.workloads


def test_a_tile_made_for_the_block_is_right(cpu_device: CpuDevice, prepared: Prepared) -> None:
    """What threads of a block share is made for its shape; the record says what was looked at."""
    judgement = judged(cpu_device, prepared, TILED)
    assert judgement.verdict.correct
    assert judgement.workloads == prepared.workloads[:1]
