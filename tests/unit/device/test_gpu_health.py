"""A GPU that misbehaves costs time or is taken out of service; no kernel is blamed for it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from hipopt.device.gpu import attempt
from hipopt.device.gpu.device import GpuDevice
from hipopt.device.gpu.service import RECHECK_S, Absence, Service
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
ARGS = [X, np.zeros_like(X), Scalar(name="n", scalar="int32", value=1000)]
ANY = "hipExtModuleLaunchKernel"
LAUNCH = f"{ANY}:k"


def doubled(device: GpuDevice, standin: StandIn, timeout_s: float = 20.0) -> bool | Fault:
    """Whether one launch doubled what it should, or the fault on the way there."""
    with device.open(standin.code(DOUBLED)) as session:
        fault = session.load((8, 1, 1), (128, 1, 1), 0, ARGS)
        launched = fault or session.launch(timeout_s)
        left = launched if isinstance(launched, Fault) else session.read()
        return left if isinstance(left, Fault) else np.array_equal(left[1], 2 * X)


def is_in_service(standin: StandIn, slots: Path) -> bool:
    return Service(slots).absence(standin.gpu.unit) is None


@pytest.mark.parametrize(
    ("call", "action", "argument"),
    [
        ("hipInit", "error", 100),
        ("hipInit", "die", 11),
        ("hipMalloc", "error", 2),
        ("hipModuleLoadData", "error", 209),
        ("hipMemcpyHtoD", "error", 999),
        ("hipMemsetD8Async", "die", 9),
        (ANY, "error", 719),
        (ANY, "fault", 700),
        (LAUNCH, "error", 719),
        (LAUNCH, "fault", 700),
        (LAUNCH, "fault", 214),
        (LAUNCH, "abort", 0),
        (LAUNCH, "hang", 0),
        ("hipEventElapsedTime", "scale", 1e9),
        ("hipMemcpyDtoH", "error", 101),
        ("hipMemcpyDtoH", "corrupt", 0),
    ],
)
def test_a_fault_that_does_not_show_again(
    gpu_device: GpuDevice, standin: StandIn, tmp_path: Path, call: str, action: str, argument: float
) -> None:
    """One fault of the GPU at any stage: the launch succeeds all the same, the GPU stays."""
    with gpu_device.exclusive():
        standin.fault(call, action, argument)
        assert doubled(gpu_device, standin, timeout_s=3.0 if action == "hang" else 20.0) is True
        assert standin.faults_left == 0
    assert is_in_service(standin, tmp_path / "slots")


@pytest.mark.parametrize(
    ("action", "argument", "verdict", "words"),
    [
        ("fault", 700, Verdict.OUT_OF_BOUNDS, "hipErrorIllegalAddress"),
        ("abort", 0, Verdict.OUT_OF_BOUNDS, "Memory access fault by GPU"),
        ("fault", 719, Verdict.CRASHED, "hipErrorLaunchFailure"),
        ("die", 6, Verdict.CRASHED, "SIGABRT"),
        ("die", 11, Verdict.CRASHED, "SIGSEGV"),
        ("error", 9, Verdict.REJECTED, "hipErrorInvalidConfiguration"),
        ("hang", 0, Verdict.TIMEOUT, "within 0.5 s"),
    ],
)
def test_a_fault_that_shows_again(
    gpu_device: GpuDevice, standin: StandIn, tmp_path: Path, action: str, argument: float,
    verdict: Verdict, words: str,
) -> None:  # fmt: skip
    """A fault of one kernel alone is that kernel's, on a GPU that stays in service."""
    with gpu_device.exclusive():
        standin.fault(LAUNCH, action, argument, once=False)
        fault = doubled(gpu_device, standin, timeout_s=0.5 if action == "hang" else 20.0)
    assert isinstance(fault, Fault)
    assert fault.verdict == verdict
    assert words in fault.reason
    assert is_in_service(standin, tmp_path / "slots")


@pytest.mark.parametrize(
    "others", [("hipMemcpyHtoD", "error", 999), ("hipInit", "die", 9), (LAUNCH, "fault", 100)]
)
def test_faults_of_two_kinds(
    gpu_device: GpuDevice, standin: StandIn, others: tuple[str, str, float]
) -> None:
    """A fault that a kernel can't have caused confirms none that it can have."""
    with gpu_device.exclusive():
        standin.fault(*others)
        standin.fault(LAUNCH, "fault", 719)
        assert doubled(gpu_device, standin) is True
        assert standin.faults_left == 0


@pytest.mark.parametrize("error", [100, 214, 999])
def test_errors_that_speak_of_the_device(
    gpu_device: GpuDevice, standin: StandIn, error: int
) -> None:
    """A lost device or a memory error is no kernel's fault, even if it shows twice."""
    with gpu_device.exclusive():
        standin.fault(LAUNCH, "fault", error, once=False)
        with pytest.raises(DeviceError, match="twice, while its known-good kernel runs"):
            doubled(gpu_device, standin)


def test_a_device_that_hangs_before_the_kernel(
    gpu_device: GpuDevice, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for anything has a deadline, and what no kernel has a part in blames none."""
    with gpu_device.exclusive():
        monkeypatch.setattr(attempt, "STEP_TIMEOUT_S", 5.0)
        standin.fault("hipMemsetD8Async", "hang")
        assert doubled(gpu_device, standin) is True
        assert standin.faults_left == 0


@pytest.mark.parametrize(
    ("call", "action", "argument", "words"),
    [
        ("hipSetDevice", "error", 101, "hipSetDevice returned hipErrorInvalidDevice"),
        (ANY, "fault", 719, "hipErrorLaunchFailure"),
        (ANY, "abort", 0, "Memory access fault by GPU"),
        ("hipMemcpyDtoH", "corrupt", 70_000, "wrong|changed|written"),
        ("hipEventElapsedTime", "scale", 0.5, r"its clock shows 0\.\d+ s for each second of ours"),
    ],
)
def test_a_sick_gpu(
    gpu_device: GpuDevice, standin: StandIn, tmp_path: Path, call: str, action: str,
    argument: float, words: str,
) -> None:  # fmt: skip
    """A GPU that goes on failing is taken out, by name and reason; the kernel has no verdict."""
    with gpu_device.exclusive():
        standin.fault(call, action, argument, once=False)
        standin.fault(LAUNCH, "error", 719)
        with pytest.raises(DeviceError, match=words):
            doubled(gpu_device, standin)
    assert not is_in_service(standin, tmp_path / "slots")
    with pytest.raises(DeviceError, match="no GPU of this node is in service"):
        gpu_device.exclusive().__enter__()


def test_a_gpu_that_is_sick_from_the_start(
    gpu_device: GpuDevice, standin: StandIn, tmp_path: Path
) -> None:
    """No kernel runs before the known-good one has passed; another worker is told at once."""
    standin.fault("hipEventElapsedTime", "scale", 3.0, once=False)
    with pytest.raises(DeviceError, match=r"no GPU .* in service: .* by the device's clock"):
        gpu_device.exclusive().__enter__()
    standin.heal()
    other = GpuDevice([standin.gpu], standin, tmp_path / "slots", patience_s=0.0)
    with pytest.raises(DeviceError, match="no GPU of this node is in service"):
        other.exclusive().__enter__()


def test_a_gpu_comes_back(gpu_device: GpuDevice, standin: StandIn, tmp_path: Path) -> None:
    """A GPU that is out is tried again after a while, and is in service once it passes."""
    service = Service(tmp_path / "slots")
    service.take_out(standin.gpu.unit, "a GPU", "it was ill")
    absence = service.absence(standin.gpu.unit)
    assert absence is not None
    long_ago = Absence(gpu="a GPU", reason="ill", since=absence.since - RECHECK_S)
    service.path(standin.gpu.unit).write_bytes(msgspec.json.encode(long_ago))
    with gpu_device.exclusive():
        assert doubled(gpu_device, standin) is True
    assert is_in_service(standin, tmp_path / "slots")


def test_the_other_gpu_is_used(standin_library: Path, tmp_path: Path, standin: StandIn) -> None:
    """Where one GPU of a node is sick its tasks run on the other."""
    gpus = [(standin.gpu.arch, standin.gpu.bus_id), (standin.gpu.arch, "0000:c2:00.0")]
    well = StandIn(standin_library, (tmp_path / "well"), standin.emulator, gpus)
    well.gpu = msgspec.structs.replace(well.gpu, unit=standin.gpu.unit + 1, token="1")
    standin.fault("hipInit", "error", 100, once=False)
    device = GpuDevice([standin.gpu, well.gpu], standin, tmp_path / "slots", patience_s=0.0)
    with device.exclusive():
        assert doubled(device, standin) is True
    assert not is_in_service(standin, tmp_path / "slots")
    assert is_in_service(well, tmp_path / "slots")


def test_a_kernel_that_faults_now_and_then(gpu_device: GpuDevice, standin: StandIn) -> None:
    """Two faults that don't show again are the GPU's; a third of the same kernel is its own."""
    code = standin.code(DOUBLED)
    with gpu_device.exclusive(), gpu_device.open(code) as session:
        assert session.load((8, 1, 1), (128, 1, 1), 0, ARGS) is None
        for _ in range(2):
            standin.fault(LAUNCH, "fault", 719)
            assert isinstance(session.launch(20.0), Launched)
        standin.fault(LAUNCH, "fault", 719)
        fault = session.launch(20.0)
    assert isinstance(fault, Fault)
    assert fault.verdict == Verdict.CRASHED


def test_somebody_else_is_noticed(
    gpu_device: GpuDevice, standin: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """A GPU whose memory somebody else has taken is used, and the log says so."""
    with gpu_device.exclusive():
        assert "gpu.shared" not in caplog.text
        standin.fault("hipMemGetInfo", "used", 8 << 30, once=False)
        standin.fault(LAUNCH, "fault", 719)
        assert doubled(gpu_device, standin) is True
    assert "gpu.shared" in caplog.text


def test_one_arch(standin: StandIn, tmp_path: Path) -> None:
    """GPUs of different archs never share a device, hence no comparison."""
    other = msgspec.structs.replace(standin.gpu, arch="gfx90a", unit=7)
    with pytest.raises(DeviceError, match="gfx90a and gfx942"):
        GpuDevice([standin.gpu, other], standin, tmp_path / "slots")
