"""Judgements on a stand-in GPU that fails at random: no kernel may pay for it.

Before each judgement, with the probability asked for, one fault is set to strike at some call of
some process. Every id must end with one verdict, the one that its candidate deserves; judgements
that raise `DeviceError` are done again, as the queue does. In the end no process may be left.

    python -m benchmarks.gpu_faults --judgements 1000 --share 0.05
"""

from __future__ import annotations

import argparse
import collections
import random
import sys
import tempfile
import time
from pathlib import Path

from hipopt.device.cpu.device import CpuDevice
from hipopt.device.gpu.device import GpuDevice
from hipopt.errors import DeviceError
from hipopt.judge.judge import Judge
from hipopt.judge.options import JudgeOptions, Prepared
from hipopt.records import Verdict, Workload
from hipopt.source.slice import slice_kernel
from tests.standin_gpu.standin import StandIn, build

KERNEL = """#include <hip/hip_runtime.h>
__global__ void k(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2.0f * x[i] + 1.0f;
}
"""
GOOD = "if (i < n) y[i] = 2.0f * x[i] + 1.0f;"
WORKLOAD = {
    "grid": [8],
    "block": [128],
    "args": [
        {"name": "x", "buffer": "float32", "length": 1000, "fill": "normal"},
        {"name": "y", "buffer": "float32", "length": 1000},
        {"name": "n", "scalar": "int32", "value": 1000},
    ],
}
CANDIDATES: list[tuple[str, Verdict | None]] = [
    ("if (i < n) y[i] = x[i] + x[i] + 1.0f;", None),
    ("if (i < n) y[i] = fmaf(2.0f, x[i], 1.0f);", None),
    ("if (i < n) y[i] = 3.0f * x[i] + 1.0f;", Verdict.MISMATCH),
    ("if (i < n - 1) y[i] = 2.0f * x[i] + 1.0f;", Verdict.MISMATCH),
    ("if (i < 1024) y[i] = 2.0f * x[i & 511] + 1.0f;", Verdict.OUT_OF_BOUNDS),
    ("if (i < n) y[i] = 2.0f * x[i]; if (i == 7) __builtin_trap();", Verdict.CRASHED),
]
"""Bodies, and the verdicts they deserve; None: any of the correct ones."""
LAUNCH = "hipExtModuleLaunchKernel"
FAULTS: list[tuple[str, str, float]] = [
    ("hipInit", "error", 100), ("hipInit", "die", 11), ("hipMalloc", "error", 2),
    ("hipModuleLoadData", "error", 209), ("hipModuleLoadData", "die", 6),
    ("hipMemcpyHtoD", "error", 999), ("hipMemsetD8Async", "die", 9), (LAUNCH, "fault", 700),
    (LAUNCH, "abort", 0), (f"{LAUNCH}:k", "fault", 719), (f"{LAUNCH}:k", "abort", 0),
    (f"{LAUNCH}:k", "hang", 0), (f"{LAUNCH}:hipopt_known_good", "fault", 719),
    ("hipEventElapsedTime", "scale", 1e9), ("hipMemcpyDtoH", "corrupt", 0),
    ("hipMemcpyDtoH", "error", 101),
]  # fmt: skip


def main() -> None:
    """Prints one line a hundred judgements, then the sums; fails where a verdict is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--judgements", type=int, default=1000)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/hipopt"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        sys.exit(_run(given, Path(directory)))


def _run(given: argparse.Namespace, directory: Path) -> int:
    standin = StandIn(build(directory), directory / "one", CpuDevice(given.cache))
    slots = directory / "slots"
    device = GpuDevice([standin.gpu], standin, slots, patience_s=0.0)
    judge = Judge(device, JudgeOptions(timing_budget_s=0.01, launch_timeout_s=3.0))
    prepared = judge.prepare(slice_kernel(KERNEL, "k"), (Workload.from_json(WORKLOAD),))
    assert isinstance(prepared, Prepared), prepared.reason
    draws = random.Random(given.seed)
    counts: collections.Counter[str] = collections.Counter()
    rows: dict[int, Verdict] = {}
    began = time.monotonic()
    for number in range(given.judgements):
        body, deserved = draws.choice(CANDIDATES)
        if draws.random() < given.share:
            counts["faults"] += 1
            standin.fault(*draws.choice(FAULTS))
        while number not in rows:
            try:
                verdict = judge.judge(prepared, slice_kernel(KERNEL.replace(GOOD, body), "k"))
            except DeviceError:
                counts["done again"] += 1
                for path in slots.glob("*.out"):
                    path.unlink()
                continue
            rows[number] = verdict.verdict
        right = rows[number].correct if deserved is None else rows[number] is deserved
        counts["wrong verdicts"] += not right
        if not right:
            print(f"{number}: {body} -> {verdict.verdict}: {verdict.reason}", flush=True)
        if number % 100 == 99:
            print(f"{number + 1}: {time.monotonic() - began:.0f} s, {dict(counts)}", flush=True)
    counts["faults that never struck"] = standin.faults_left
    left = [p for p in Path("/proc/self/task").glob("*/children") if p.read_text().strip()]
    print(
        f"{given.judgements} judgements, {len(rows)} rows, {dict(counts)}, "
        f"{len(left)} processes left, {time.monotonic() - began:.0f} s"
    )
    return int(bool(counts["wrong verdicts"] or left or len(rows) != given.judgements))


if __name__ == "__main__":
    main()
