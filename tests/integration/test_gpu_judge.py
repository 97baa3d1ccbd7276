"""The whole judge on GPUs, on the stand-in runtime: verdicts, faults amid them, no traces."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.device.gpu.device import GpuDevice
from hipopt.errors import DeviceError
from hipopt.judge.judge import Judge
from hipopt.judge.options import JudgeOptions, Prepared
from hipopt.records import Verdict, Workload
from hipopt.source.capsule import Capsule
from hipopt.source.slice import slice_kernel
from tests.standin_gpu.standin import StandIn

KERNEL = """#include <hip/hip_runtime.h>
__global__ void k(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2.0f * x[i] + 1.0f;
}
"""
WORKLOAD = Workload.from_json(
    {
        "grid": [8],
        "block": [128],
        "args": [
            {"name": "x", "buffer": "float32", "length": 1000, "fill": "normal"},
            {"name": "y", "buffer": "float32", "length": 1000},
            {"name": "n", "scalar": "int32", "value": 1000},
        ],
    }
)
LAUNCH = "hipExtModuleLaunchKernel"
OPTIONS = JudgeOptions(timing_budget_s=0.05, launch_timeout_s=5.0)


@pytest.fixture
def judge(standin: StandIn, tmp_path: Path) -> Judge:
    """A judge on that GPU, without a microscope: the GPU alone decides."""
    return Judge(GpuDevice([standin.gpu], standin, tmp_path / "slots", patience_s=0.0), OPTIONS)


def capsule(old: str = "", new: str = "") -> Capsule:
    return slice_kernel(KERNEL.replace(old, new) if old else KERNEL, "k")


def prepared(judge: Judge) -> Prepared:
    ready = judge.prepare(capsule(), (WORKLOAD,))
    assert isinstance(ready, Prepared), ready.reason
    return ready


def test_verdicts(judge: Judge) -> None:
    """Right, wrong, out of bounds, crashing and endless candidates are told apart on the GPU."""
    ready = prepared(judge)
    found = {
        new: judge.judge(ready, capsule("if (i < n) y[i] = 2.0f * x[i]", new)).verdict
        for new in (
            "if (i < n) y[i] = x[i] + x[i]",
            "if (i < n) y[i] = 3.0f * x[i]",
            "if (i < 8192) y[i] = 2.0f * x[i & 511]",
            "if (i < n) __builtin_trap(); y[0] = 2.0f * x[0]",
        )
    }
    same, *wrong = found.values()
    assert same.correct, same
    assert wrong == [Verdict.MISMATCH, Verdict.OUT_OF_BOUNDS, Verdict.CRASHED]


def test_faults_of_the_gpu_change_no_verdict(judge: Judge, standin: StandIn) -> None:
    """Faults that strike while a right and a wrong candidate are judged leave both verdicts."""
    ready = prepared(judge)
    faults = [
        ("hipInit", "error", 100), ("hipModuleLoadData", "die", 11),
        ("hipMemcpyHtoD", "error", 999),
        (LAUNCH, "fault", 700), (f"{LAUNCH}:k", "abort", 0), ("hipMemcpyDtoH", "corrupt", 0),
    ]  # fmt: skip
    random.Random(5).shuffle(faults)
    for number, fault in enumerate(faults):
        standin.fault(*fault)
        factor = "2.0f" if number % 2 else "3.0f"
        verdict = judge.judge(ready, capsule("2.0f * x[i]", f"x[i] * {factor}")).verdict
        assert verdict.correct if number % 2 else verdict is Verdict.MISMATCH, fault
        assert standin.faults_left == 0


def test_a_sick_gpu_gives_no_verdict(judge: Judge, standin: StandIn) -> None:
    """A GPU that breaks for good amid a judgement raises; mended, it judges the same candidate."""
    ready = prepared(judge)
    candidate = capsule("2.0f * x[i]", "x[i] * 2.0f")
    standin.fault(LAUNCH, "fault", 719, once=False)
    with pytest.raises(DeviceError, match="out of service"):
        judge.judge(ready, candidate)
    standin.heal()
    for path in (standin.library.parent / "slots").glob("*.out"):
        path.unlink()
    assert judge.judge(ready, candidate).verdict.correct


HOLDER = """
import sys, time
from pathlib import Path
import numpy as np
from hipopt.device.cpu.device import CpuDevice
from hipopt.device.gpu.device import GpuDevice
from tests.standin_gpu.standin import StandIn
standin = StandIn(Path(sys.argv[1]), Path(sys.argv[2]) / "holder", CpuDevice(Path(sys.argv[3])))
device = GpuDevice([standin.gpu], standin, Path(sys.argv[2]) / "slots")
code = standin.code("__global__ void k(volatile int* x) { while (x[0] == 0) ; }")
with device.exclusive(), device.open(code) as session:
    session.load((1, 1, 1), (1, 1, 1), 0, [np.zeros(4, np.int32)])
    print(session._attempt.pid, flush=True)
    session.launch(600.0)
"""


def test_a_killed_worker_leaves_nothing(
    standin_library: Path, standin: StandIn, tmp_path: Path, cpu_device: CpuDevice
) -> None:
    """Killed amid a launch that never ends, a worker takes its children along; the GPU is free."""
    cache = str(cpu_device.toolchain.directory.parents[2])
    worker = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(standin_library), str(tmp_path), cache],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    group = int(worker.stdout.readline())
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    deadline = time.monotonic() + 60
    while _is_alive(group):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    device = GpuDevice([standin.gpu], standin, tmp_path / "slots", patience_s=0.0)
    with device.exclusive():
        assert device.describe().arch == "gfx942"


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return any(
        stat.read_text().rpartition(") ")[2].split()[2] == str(group)
        and not stat.read_text().rpartition(") ")[2].startswith("Z")
        for stat in Path("/proc").glob("[0-9]*/stat")
        if stat.exists()
    )
