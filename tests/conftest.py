"""What all tests share: the CPU device with one cache, and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from numpy.typing import NDArray

from hipopt.device.amd.compiler import AmdCompiler
from hipopt.device.cpu.device import CpuDevice
from hipopt.device.gpu.device import GpuDevice
from hipopt.device.interface import (
    FORWARD,
    CodeObject,
    CompileFailure,
    Fault,
    Observation,
    Schedule,
)
from hipopt.errors import DeviceError
from hipopt.records import Scalar
from hipopt.source.capsule import Capsule
from tests.standin_gpu.standin import StandIn, build


def pytest_configure() -> None:
    """Processes that tests start heed Ctrl-C, also where a shell started pytest with it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


Dim = tuple[int, int, int]


class Look(NamedTuple):
    """What the microscope showed of one launch."""

    fault: Fault | None
    observation: Observation
    buffers: list[NDArray[Any]]
    """As the launch left them; empty after a fault."""


class Emulator:
    """The CPU device, with one call that compiles and runs a kernel."""

    def __init__(self, device: CpuDevice) -> None:
        self.device = device

    @staticmethod
    def capsule(source: str, kernel: str = "k") -> Capsule:
        """A capsule of that source, as slicing would give it."""
        text = f"#include <hip/hip_runtime.h>\n{source}"
        return Capsule(source=text, kernel=kernel, parameters=(), kernel_text=source)

    def compile(self, source: str, kernel: str = "k", template: tuple[str, ...] = ()) -> CodeObject:
        """The source compiled; fails the test where the compiler refuses it."""
        code = self.device.compile(self.capsule(source, kernel), template, 60.0)
        if isinstance(code, CompileFailure):
            pytest.fail(code.output)
        return code

    def run(
        self,
        source: str,
        args: Sequence[NDArray[Any] | Scalar],
        *,
        grid: Dim = (1, 1, 1),
        block: Dim = (64, 1, 1),
        lds_bytes: int = 0,
        kernel: str = "k",
        template: tuple[str, ...] = (),
        timeout_s: float = 10.0,
    ) -> list[NDArray[Any]] | Fault:
        """The buffers after one launch, or the fault on the way there."""
        code = self.compile(source, kernel, template)
        with self.device.open(code) as session:
            fault = session.load(grid, block, lds_bytes, args)
            if fault is not None:
                return fault
            launched = session.launch(timeout_s)
            return launched if isinstance(launched, Fault) else session.read()

    def look(
        self,
        source: str,
        args: Sequence[NDArray[Any] | Scalar],
        *,
        grid: Dim = (1, 1, 1),
        block: Dim = (64, 1, 1),
        lds_bytes: int = 0,
        room_bytes: int = 0,
        schedule: Schedule = FORWARD,
        template: tuple[str, ...] = (),
    ) -> Look:
        """What the microscope shows of one launch."""
        code = self.device.compile_instrumented(self.capsule(source), template, 60.0)
        if isinstance(code, CompileFailure):
            pytest.fail(code.output)
        with self.device.open_instrumented(code) as session:
            assert session.load(grid, block, lds_bytes, args, room_bytes=room_bytes) is None
            launched = session.launch(10.0, schedule)
            observation = session.observe()
            if isinstance(launched, Fault):
                return Look(launched, observation, [])
            buffers = session.read()
            assert not isinstance(buffers, Fault), buffers.reason
            return Look(None, observation, buffers)

    def outputs(
        self, source: str, args: Sequence[NDArray[Any] | Scalar], **how: Any
    ) -> list[NDArray[Any]]:
        """The buffers after one launch that must end well."""
        result = self.run(source, args, **how)
        if isinstance(result, Fault):
            pytest.fail(f"{result.verdict}: {result.reason}")
        return result

    def fault(self, source: str, args: Sequence[NDArray[Any] | Scalar], **how: Any) -> Fault:
        """The fault of a launch that must not end well."""
        result = self.run(source, args, **how)
        assert isinstance(result, Fault), result
        return result


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all tests' devices keep what they compiled."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def cpu_device(cache_dir: Path) -> CpuDevice:
    """The CPU device; skips without a C++ compiler, unless this is CI."""
    device = CpuDevice(cache_dir)
    try:
        device.describe()
    except DeviceError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    return device


@pytest.fixture(scope="session")
def cpu(cpu_device: CpuDevice) -> Emulator:
    """The CPU device with its one-call runner."""
    return Emulator(cpu_device)


@pytest.fixture(scope="session")
def amd_cache(cache_dir: Path) -> Path:
    """A cache of AMD compilers that work; skips without clang for HIP, unless this is CI."""
    try:
        AmdCompiler(cache_dir, "gfx90a").describe()
    except DeviceError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    return cache_dir


@pytest.fixture(scope="session")
def standin_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in's library; skips without a C++ compiler, unless this is CI."""
    try:
        return build(tmp_path_factory.mktemp("standin"))
    except FileNotFoundError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture
def standin(standin_library: Path, tmp_path: Path, cpu_device: CpuDevice) -> StandIn:
    """A stand-in GPU that nothing is wrong with yet."""
    return StandIn(standin_library, tmp_path, cpu_device)


@pytest.fixture
def gpu_device(standin: StandIn, tmp_path: Path) -> GpuDevice:
    """A device of that GPU alone, which is out of service as soon as it fails once."""
    return GpuDevice([standin.gpu], standin, tmp_path / "slots", patience_s=0.0)


def _children() -> set[str]:
    pid = os.getpid()
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


@pytest.fixture(autouse=True)
def _no_process_left() -> Iterator[None]:
    """No test leaves a child process behind; those of longer fixtures were there before it."""
    before = _children()
    yield
    assert _children() <= before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
