"""What a candidate's compiled code takes from the host is judged, whatever its source shows."""

from __future__ import annotations

import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.judge.judge import Judge
from hipopt.judge.options import JudgeOptions
from hipopt.records import Judgement, Verdict, Workload
from hipopt.source.rules import check_rules
from hipopt.source.slice import slice_kernel
from hipopt.source.splice import SpliceFailure, splice

PLAIN = """
__global__ void k(const int* x, int* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 3 * x[i];
}
"""
ASKING = PLAIN.replace(
    "if (i < n)",
    'extern int number() __asm__("getpid"); if (n < 0) y[0] = number(); if (i < n)',
)
WORKLOAD = Workload.from_json({
    "grid": [4], "block": [64],
    "args": [
        {"name": "x", "buffer": "int32", "length": 250, "fill": "index", "below": 1000},
        {"name": "y", "buffer": "int32", "length": 250, "fill": "zeros"},
        {"name": "n", "scalar": "int32", "value": 250},
    ],
})  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "rejected"), [(PLAIN, True), (ASKING, False)], ids=["plain", "asking"]
)
def test_host_functions(cpu_device: CpuDevice, reference: str, rejected: bool) -> None:
    """A function of the host, named past all rules, is found; what the original has may stay."""
    judge = Judge(cpu_device, JudgeOptions(launch_timeout_s=2.0))
    capsule = slice_kernel(reference, "k")
    prepared = judge.prepare(capsule, (WORKLOAD,))
    assert not isinstance(prepared, Judgement), prepared.reason
    candidate = splice(capsule, ASKING)
    assert not isinstance(candidate, SpliceFailure)
    assert check_rules(candidate, capsule) is None
    judgement = judge.judge(prepared, candidate)
    assert (judgement.verdict is Verdict.REJECTED) == rejected
    assert ("'getpid' is no device function" in judgement.reason) == rejected
