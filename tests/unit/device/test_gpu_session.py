"""A session on a GPU does what `interface.Session` promises; the GPU is the stand-in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from hipopt.device.gpu.device import GpuDevice
from hipopt.device.interface import Fault, Launched
from hipopt.errors import DeviceError
from hipopt.records import Scalar, Verdict
from tests.standin_gpu.standin import StandIn

DOUBLED = """
__global__ void k(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2 * x[i];
}
"""
X = np.arange(1000, dtype=np.float32)
N = Scalar(name="n", scalar="int32", value=1000)
ONE = np.zeros(1, np.uint64)


def run(
    device: GpuDevice, standin: StandIn, source: str, args: Sequence[NDArray[Any] | Scalar],
    block: int = 64, timeout_s: float = 20.0,
) -> list[NDArray[Any]] | Fault:  # fmt: skip
    """The buffers after one launch, or the fault on the way there."""
    with device.exclusive(), device.open(standin.code(source)) as session:
        fault = session.load((8, 1, 1), (block, 1, 1), 0, args)
        launched = fault or session.launch(timeout_s)
        return launched if isinstance(launched, Fault) else session.read()


def descendants() -> list[str]:
    """Command lines of all processes that this one's children started, and theirs."""
    found, looked_at = [], [os.getpid()]
    while looked_at:
        for task in Path(f"/proc/{looked_at.pop()}/task").glob("*/children"):
            for child in map(int, task.read_text().split()):
                found.append(Path(f"/proc/{child}/cmdline").read_text())
                looked_at.append(child)
    return found


def test_results(gpu_device: GpuDevice, standin: StandIn) -> None:
    """Buffers come back as the kernel left them, those it only reads to the bit as they were."""
    x, y = run(gpu_device, standin, DOUBLED, [X, np.full_like(X, 7), N], block=128)
    assert np.array_equal(x, X)
    assert np.array_equal(y, 2 * X)


def test_every_launch_starts_from_what_was_loaded(gpu_device: GpuDevice, standin: StandIn) -> None:
    """Buffers and the module's own variables are what they were, however often it was launched."""
    source = """__device__ int launches;
    __global__ void k(unsigned long long* x) {
        if (threadIdx.x == 0 && blockIdx.x == 0) *x += 1 + 100 * launches++;
    }"""
    with gpu_device.exclusive(), gpu_device.open(standin.code(source)) as session:
        assert session.load((1, 1, 1), (1, 1, 1), 0, [ONE]) is None
        for _ in range(3):
            assert isinstance(session.launch(20.0), Launched)
            (left,) = session.read()
            assert left[0] == 1


def test_addresses(gpu_device: GpuDevice, standin: StandIn) -> None:
    """Fresh sessions and fresh loads lie elsewhere, and where they lay if that is asked for."""
    source = "__global__ void k(unsigned long long* x) { *x = (unsigned long long)x; }"
    code = standin.code(source)
    seen = []
    with gpu_device.exclusive():
        for _ in range(2):
            with gpu_device.open(code) as session:
                for keep in (False, False, True):
                    assert session.load((1, 1, 1), (1, 1, 1), 0, [ONE], keep) is None
                    assert isinstance(session.launch(20.0), Launched)
                    seen.append(int(session.read()[0][0]))
    assert seen[1] == seen[2]
    assert seen[4] == seen[5]
    assert len(set(seen)) == 4


@pytest.mark.parametrize(
    ("statement", "verdict", "words"),
    [
        ("y[1000] = 1", Verdict.OUT_OF_BOUNDS, "argument 2: memory was written 0 bytes behind"),
        ("y[-1] = 1", Verdict.OUT_OF_BOUNDS, "argument 2: memory was written"),
        ("y[1l << 40] = 1", Verdict.OUT_OF_BOUNDS, "hipErrorIllegalAddress"),
        ("__builtin_trap()", Verdict.CRASHED, "hipErrorLaunchFailure"),
    ],
)
def test_faults_of_the_kernel(
    gpu_device: GpuDevice, standin: StandIn, statement: str, verdict: Verdict, words: str
) -> None:
    """A kernel that always misbehaves is told so, and the GPU stays in service."""
    source = f"__global__ void k(const float* x, float* y, int n) {{ {statement}; }}"
    fault = run(gpu_device, standin, source, [X, X, N])
    assert isinstance(fault, Fault)
    assert fault.verdict == verdict
    assert words in fault.reason
    assert len(run(gpu_device, standin, DOUBLED, [X, X, N])) == 2


def test_hang(gpu_device: GpuDevice, standin: StandIn) -> None:
    """A kernel that never ends is killed with all its processes, and told so."""
    source = "__global__ void k(volatile float* x) { while (x[0] == 0) ; }"
    before = len(descendants())
    fault = run(gpu_device, standin, source, [np.zeros(4, np.float32)], timeout_s=0.5)
    assert isinstance(fault, Fault)
    assert fault.verdict == Verdict.TIMEOUT
    assert "0.5 s" in fault.reason
    assert len(descendants()) == before


@pytest.mark.parametrize(
    ("args", "block", "words"),
    [
        ([X, X], 64, "the kernel takes 3 arguments"),
        ([X, X, N], 2048, "1 to 1024 threads"),
        ([X, X, Scalar(name="n", scalar="int64", value=1)], 64, "argument 3"),
    ],
)
def test_misfits(
    gpu_device: GpuDevice, standin: StandIn, args: list[Any], block: int, words: str
) -> None:
    """Arguments and shapes that the kernel can't take are refused before anything runs."""
    fault = run(gpu_device, standin, DOUBLED, args, block=block)
    assert isinstance(fault, Fault)
    assert fault.verdict == Verdict.REJECTED
    assert words in fault.reason


def test_code_that_does_not_load(gpu_device: GpuDevice, standin: StandIn, tmp_path: Path) -> None:
    """A code object that the runtime refuses, while it takes the known-good one, is rejected."""
    broken = tmp_path / "broken.image"
    broken.write_bytes(b"no code object" + bytes(100))
    code = msgspec.structs.replace(standin.code(DOUBLED), path=broken)
    with gpu_device.exclusive(), gpu_device.open(code) as session:
        fault = session.load((1, 1, 1), (1, 1, 1), 0, [X, X, N])
    assert fault is not None
    assert fault.verdict == Verdict.REJECTED
    assert "hipModuleLoadData returned hipErrorInvalidImage (200)" in fault.reason


def test_no_session_without_a_gpu(gpu_device: GpuDevice, standin: StandIn) -> None:
    """Nothing is launched on a GPU that is not held."""
    with pytest.raises(DeviceError, match="held"):
        gpu_device.open(standin.code(DOUBLED))
