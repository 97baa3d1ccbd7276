"""Equal inputs: a plain loop over them passes beside a tree; what sums nothing gains nothing."""

import numpy as np
import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.judge.execution import Arrays, Runner
from hipopt.judge.judge import Judge
from hipopt.judge.options import JudgeOptions
from hipopt.judge.spread import spread_of
from hipopt.records import FAMILIES, Judgement, Verdict
from hipopt.source.slice import slice_kernel
from hipopt.workload.fill import POISONS
from tests.integration.checking import buffer, scalar, verdict_on, workload

ROWS, WIDTH = 8, 256
LAUNCH = workload(
    buffer("x", ROWS * WIDTH), buffer("y", ROWS * WIDTH, "zeros"), scalar("width", WIDTH), grid=ROWS
)
TREE = """
__global__ void k(const float* x, float* y, int width) {
    __shared__ float part[64];
    const float* row = x + blockIdx.x * width;
    float sum = 0;
    for (int i = threadIdx.x; i < width; i += 64) sum += expf(row[i] - 4);
    part[threadIdx.x] = sum;
    __syncthreads();
    for (int half = 32; half > 0; half /= 2) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    for (int i = threadIdx.x; i < width; i += 64)
        y[blockIdx.x * width + i] = expf(row[i] - 4) / part[0];
}
"""
LOOP = """
__global__ void k(const float* x, float* y, int width) {
    const float* row = x + blockIdx.x * width;
    float sum = 0;
    for (int i = 0; i < width; ++i) sum += expf(row[i] - 4);
    for (int i = threadIdx.x; i < width; i += 64)
        y[blockIdx.x * width + i] = expf(row[i] - 4) / sum;
}
"""
ELEMENTWISE = """
__global__ void k(const float* x, float* y, int width) {
    for (int i = threadIdx.x; i < width; i += 64)
        y[blockIdx.x * width + i] = expf(x[blockIdx.x * width + i]);
}
"""


def _terms(device: CpuDevice, source: str, x: np.ndarray) -> float:
    """How many equal terms a result of `source` may be a sum over."""
    before: Arrays = [x.ravel(), np.zeros(x.size, np.float32)]
    code = device.compile(slice_kernel(source, "k"), (), 60.0)
    with Runner(device.open, code, 10.0) as runner:  # type: ignore[arg-type]
        found = spread_of(runner, LAUNCH, before, in_any_order=False)
    assert isinstance(found, list)
    return found[-1].terms


def _normal() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(ROWS, WIDTH)).astype(np.float32)


def _repeating() -> np.ndarray:
    x = _normal()
    x[:, ::2] = 0.7
    return x


@pytest.mark.parametrize(
    ("source", "x", "terms"),
    [
        (TREE, _repeating(), ROWS * WIDTH // 2),
        (TREE, _normal(), 0),
        (ELEMENTWISE, _repeating(), 0),
    ],
    ids=["sums of equal terms", "sums of distinct terms", "no sums"],
)
def test_only_sums_of_equal_terms_count_them(
    cpu_device: CpuDevice, source: str, x: np.ndarray, terms: float
) -> None:
    """Results that depend on few inputs, or on distinct ones, are granted nothing."""
    assert _terms(cpu_device, source, x) == terms


DRIFTING = (49286, 128054, 44742, 133494)
"""Seeds of extreme data on which a plain loop is off by over 100 units in the last place."""


def _judged(device: CpuDevice, candidate: str) -> Judgement:
    """The verdict on a candidate for the tree, on those data."""
    assert {FAMILIES[seed // len(POISONS) % len(FAMILIES)] for seed in DRIFTING} == {"extreme"}
    judge = Judge(device, JudgeOptions(timing_budget_s=0.2))
    return verdict_on(judge, TREE, candidate, "k", LAUNCH, seeds=DRIFTING)


def test_a_plain_loop_over_equal_terms_is_correct(cpu_device: CpuDevice) -> None:
    """Its errors all have one sign, where a tree has none."""
    judgement = _judged(cpu_device, LOOP)
    assert judgement.verdict.correct, judgement.reason


@pytest.mark.parametrize(
    "change",
    [
        ("sum += expf(row[i] - 4)", "sum += (float)(_Float16)expf(row[i] - 4)"),
        ("i < width; ++i", "i < width - 1; ++i"),
    ],
)
def test_a_wrong_loop_over_equal_terms_is_a_mismatch(
    cpu_device: CpuDevice, change: tuple[str, str]
) -> None:
    """What equal terms are granted is no excuse for narrower ones, nor for a term left out."""
    assert change[0] in LOOP
    judgement = _judged(cpu_device, LOOP.replace(*change))
    assert judgement.verdict is Verdict.MISMATCH, judgement.reason
