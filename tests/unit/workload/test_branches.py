"""Which branches launches take, and launches found for those that no other takes."""

from __future__ import annotations

import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.judge.judge import Judge
from hipopt.judge.options import JudgeOptions, Prepared
from hipopt.records import Buffer, Scalar, Workload
from hipopt.source.slice import slice_kernel
from hipopt.source.splice import SpliceFailure, splice
from hipopt.workload.branches import NOTHING, Branches
from hipopt.workload.resize import resized

MODES = """
#define GUARDED if (i >= n) return;
__global__ void k(const float* x, float* y, int n, int mode, int shift) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  GUARDED
  float sum = 0.0f;
  for (int r = 0; r < mode; ++r)
    sum += x[i];
  if (mode == 9) sum *= 3.0f;
  else if (mode > 11) {
    sum += mode > 13 ? 0.5f : 0.25f;
  }
  switch (mode) { case 12: sum += 7.0f; break; default: sum += 1.0f; }
  y[i] = sum + (float)(1 << shift);
}
"""
STRIDED = """
__global__ void k(const float* x, float* y, unsigned int stride, unsigned int n) {
  for (unsigned int i = blockDim.x * blockIdx.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    y[i * stride] = 2.0f * x[i * stride];
}
void host(const float* x, float* y, int stride, int n) { k<<<256, 256>>>(x, y, stride, n); }
"""
BYTES = """
__global__ void k(const char* in, char* out) {
  int at = threadIdx.x + blockDim.x * blockIdx.x;
  out[at] = in[at] + 1;
}
void host(const char* in, char* out) { k<<<1, 256>>>(in, out); }
"""
BINS = """
__global__ void k(const unsigned int* x, unsigned int* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i] > 1000u ? x[i] : 0u;
}
"""
STAGES = """
__global__ void k(const float* x, float* y, int n, int stage) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  unsigned int width = 1u << stage;
  if (i < n) y[i] = (i / width) % 2 ? x[i] : -2.0f * x[i];
}
"""
ROUNDED_DOWN = """
__global__ void k(const float* a, float* b, int width, int height) {
  int x = blockDim.x * blockIdx.x + threadIdx.x;
  int y = blockDim.y * blockIdx.y + threadIdx.y;
  int i = y * width + x;
  if (i < width * height) b[i] = a[i] * 0.5f;
}
void host(const float* a, float* b, int width, int height) {
  k<<<dim3(width / 16, height / 16), dim3(16, 16)>>>(a, b, width, height);
}
"""


RARELY = """
__global__ void k(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  if (x[i] == 1234.5f)
    y[i] = -1.0f;
  else
    y[i] = 2.0f * x[i];
}
"""


def modes(mode: int, shift: int) -> Workload:
    floats = [Buffer(name=name, buffer="float32", length=100, fill="normal") for name in "xy"]
    scalars = [
        Scalar(name=name, scalar="int32", value=value)
        for name, value in (("n", 100), ("mode", mode), ("shift", shift))
    ]
    return Workload(grid=(2, 1, 1), block=(64, 1, 1), args=(*floats, *scalars))


def branches(device: CpuDevice) -> Branches:
    found = Branches.of(slice_kernel(MODES, "k"), device, (), 60.0, 2.0)
    assert found is not None
    return found


def test_launches_with_other_scalars_take_other_branches(cpu_device: CpuDevice) -> None:
    """Both ways out of an `if`, a loop's second round, a `case`, a condition's values are told."""
    with branches(cpu_device) as look:
        none, once, twice = (look.taken(modes(mode, 1)).branches for mode in (0, 1, 2))
        nine, twelve, many = (look.taken(modes(mode, 1)).branches for mode in (9, 12, 14))
    assert none < once < twice
    assert len(once - none) == len(twice - once) == 1
    assert len(nine - twice) == 1
    assert len(twelve - twice - nine) == 3
    assert len(many - twelve - none) == 1
    assert none | nine | twelve | many == look.all


def test_a_shift_that_may_do_anything_is_no_launch_to_learn_from(cpu_device: CpuDevice) -> None:
    """By 31 bits it takes branches, by 32 or -1 none."""
    with branches(cpu_device) as look:
        assert look.taken(modes(3, 31)).branches
        assert look.taken(modes(3, 32)) == NOTHING
        assert look.taken(modes(3, -1)) == NOTHING
        assert [look.shifts_wrongly(modes(3, by)) for by in (31, 32, -1)] == [False, True, True]


def test_what_is_written_is_told(cpu_device: CpuDevice) -> None:
    """Nothing of the input, all of the output."""
    with branches(cpu_device) as look:
        assert look.taken(modes(3, 1)).written == (0.0, 1.0)


def test_a_branch_that_no_launch_takes_is_named(cpu_device: CpuDevice) -> None:
    """The record says which lines no launch came to, so that a verdict's reach can be seen."""
    judge = Judge(cpu_device, JudgeOptions(timing_budget_s=0.1))
    capsule = slice_kernel(RARELY, "k")
    line = next(n for n, text in enumerate(capsule.source.splitlines(), 1) if "-1.0f" in text)
    ready = judge.prepare(capsule)
    assert isinstance(ready, Prepared)
    assert ready.notes[0] == f"no launch takes 1 of its 4 branches: line {line}"
    always = judge.find(slice_kernel(RARELY.replace("== 1234.5f", "> 0.5f"), "k"))
    assert not any("no launch takes" in note for note in always.tried)


@pytest.mark.parametrize(
    ("source", "was", "becomes"),
    [
        (MODES, "sum *= 3.0f", "sum *= 4.0f"),
        (MODES, "sum += 7.0f", "sum += 8.0f"),
        (MODES, "> 13 ? 0.5f", "> 13 ? 0.75f"),
        (STRIDED, "i += gridDim.x * blockDim.x", "i += gridDim.x / blockDim.x + n"),
        (BYTES, "int at", "short at"),
        (BINS, "x[i] : 0u", "(unsigned short)x[i] : 0u"),
        (ROUNDED_DOWN, "int y =", "short y ="),
        (STAGES, "unsigned int width", "unsigned short width"),
    ],
)
def test_a_mistake_is_caught_on_workloads_found(
    cpu_device: CpuDevice, source: str, was: str, becomes: str
) -> None:
    """In a branch that hangs on a scalar, a loop over the grid, beyond 16 bits or shifted there."""
    judge = Judge(cpu_device, JudgeOptions(timing_budget_s=0.1))
    ready = judge.prepare(slice_kernel(source, "k"))
    assert isinstance(ready, Prepared)
    text = ready.reference.kernel_text
    assert was in text
    for code, correct in ((text, True), (text.replace(was, becomes), False)):
        candidate = splice(ready.reference, code)
        assert not isinstance(candidate, SpliceFailure)
        assert judge.judge(ready, candidate).verdict.correct == correct


def test_a_grid_that_is_rounded_down_is_followed() -> None:
    """As several launches show it: 61 by 16 are 3, 128 by 16 are 8."""

    def launch(width: int) -> Workload:
        floats = [Buffer(name=n, buffer="float32", length=width, fill="normal") for n in "ab"]
        size = Scalar(name="width", scalar="int32", value=width)
        return Workload(grid=(width // 16, 1, 1), block=(16, 1, 1), args=(*floats, size))

    given = (launch(61), launch(128), launch(431))
    assert resized(given[0], {"width": 70_001}, given).grid == (4375, 1, 1)
