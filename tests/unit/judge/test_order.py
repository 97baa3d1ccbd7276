"""Orders of threads in which the original itself errs, on some data alone."""

from __future__ import annotations

from hipopt.device.cpu.device import CpuDevice
from hipopt.judge.judge import Judge
from hipopt.judge.options import JudgeOptions, Prepared
from hipopt.records import FAMILIES, Buffer, Verdict, Workload
from hipopt.source.slice import slice_kernel
from hipopt.workload.fill import POISONS

KERNEL = """
__global__ void k(const float* x, float* y) {
  int i = threadIdx.x;
  y[i] = 2 * x[i];
  if (i == 1 && x[5] > 1.5f) y[0] = x[1];
}"""
RACING = KERNEL.replace("i == 1 && x[5] > 1.5f", "i == 1")
LAUNCH = Workload(
    grid=(1, 1, 1),
    block=(128, 1, 1),
    args=(
        Buffer(name="x", buffer="float32", length=128, fill="normal"),
        Buffer(name="y", buffer="float32", length=128, fill="zeros"),
    ),
)
ORDINARY = len(FAMILIES) * len(POISONS)
"""From one seed of ordinary data to the next."""


def test_an_order_in_which_the_original_errs_says_nothing(cpu_device: CpuDevice) -> None:
    """A kernel that races on rare data is not told from itself; one that always races is."""
    judge = Judge(cpu_device, JudgeOptions(timing_budget_s=0.1))
    prepared = judge.prepare(slice_kernel(KERNEL, "k"), (LAUNCH,))
    assert isinstance(prepared, Prepared), prepared.reason
    timed = prepared.qualified[0]
    every = range(0, 1000 * ORDINARY, ORDINARY)
    seeds = tuple(seed for seed in every if timed.contents(seed)[0][5] > 1.5)[:5]
    assert len(seeds) == 5
    itself = judge.judge(prepared, slice_kernel(KERNEL, "k"), seeds)
    assert itself.verdict in (
        Verdict.SAME, Verdict.INCONCLUSIVE, Verdict.FASTER, Verdict.SLOWER
    ), itself.reason  # fmt: skip
    other = judge.judge(prepared, slice_kernel(RACING, "k"))
    assert other.verdict in (Verdict.NONDETERMINISTIC, Verdict.MISMATCH, Verdict.UNVERIFIABLE)
