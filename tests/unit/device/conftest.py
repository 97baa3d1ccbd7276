"""The stand-in GPU, for tests of the runner."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.device.gpu.device import GpuDevice
from tests.standin_gpu.standin import StandIn, build


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
