"""Judges one kernel and tells when what ran on which cores: `judging.py CACHE FACTOR`.

Prints `ready` once the compilers are prepared, begins when a line comes in, and ends with one line:
the verdict and the intervals, each of a kernel's process or a compiler.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hipopt.device import process
from hipopt.device.cpu import session
from hipopt.device.cpu.child import Child
from hipopt.device.cpu.device import CpuDevice
from hipopt.judge.judge import Judge
from hipopt.judge.options import Prepared
from hipopt.records import Judgement, Workload
from hipopt.source.slice import slice_kernel

KERNEL = """
__global__ void work(const float* x, float* y) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float s = x[i];
    for (int k = 0; k < ROUNDS; ++k) s = 1.0f / (s + FACTOR);
    y[i] = s + x[i];
}
"""  # the loop has long come to its fixed point
WORKLOAD = {
    "grid": [16],
    "block": [128],
    "args": [
        {"name": "x", "buffer": "float32", "length": 2048, "fill": "uniform"},
        {"name": "y", "buffer": "float32", "length": 2048},
    ],
}
Interval = tuple[str, list[int], float, float]
intervals: list[Interval] = []


class WatchedChild(Child):
    """A kernel's process whose life is noted."""

    def __init__(self, program: Path, core: int | None = None) -> None:
        self._began = time.monotonic()
        super().__init__(program, core)
        self._cores = sorted(os.sched_getaffinity(self._process.pid))

    def close(self) -> None:
        super().close()
        intervals.append(("kernel", self._cores, self._began, time.monotonic()))


def watched_run(command: Sequence[str], **options: Any) -> process.Completed:
    """As `process.run`, its interval noted."""
    began = time.monotonic()
    try:
        return run(command, **options)
    finally:
        cores = sorted(os.sched_getaffinity(0))
        intervals.append(("compiler", cores, began, time.monotonic()))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def judged(cache: Path, factor: str) -> Judgement:
    """The verdict on a kernel that does a third of the work."""
    source = KERNEL.replace("FACTOR", factor)
    more, less = (slice_kernel(source.replace("ROUNDS", n), "work") for n in ("300", "100"))
    device = CpuDevice(cache)
    device.describe()
    assert device.microscope_trouble is None
    judge = Judge(device)
    say("ready")
    sys.stdin.readline()
    intervals.clear()
    prepared = judge.prepare(more, (Workload.from_json(WORKLOAD),))
    assert isinstance(prepared, Prepared), prepared.reason
    return judge.judge(prepared, less)


if __name__ == "__main__":
    run = process.run
    process.run = watched_run
    session.Child = WatchedChild  # type: ignore[misc]
    found = judged(Path(sys.argv[1]), sys.argv[2])
    say(json.dumps({"verdict": found.verdict.value, "intervals": intervals}))
