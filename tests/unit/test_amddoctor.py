"""What the doctor says of AMD on a bare machine, with a compiler alone, and with GPUs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

import hipopt.device.amd.compiler
import hipopt.devices
from hipopt.amddoctor import amd_findings
from hipopt.device.amd.runtime import find_runtime
from hipopt.device.amd.toolchain import find
from hipopt.device.cpu.device import CpuDevice
from hipopt.finding import Finding, Health
from hipopt.settings import Settings
from tests.standin_gpu.compiler import StandInCompiler
from tests.standin_gpu.standin import StandIn, build

BUSES = ("0000:0a:00.0", "0000:1b:00.0")


def findings(settings: Settings) -> dict[str, Finding]:
    return {finding.name: finding for finding in amd_findings(settings)}


@pytest.fixture
def no_runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """AMD's runtime is not installed."""
    nowhere = partial(find_runtime, system=tmp_path)
    monkeypatch.setattr(hipopt.devices, "find_runtime", nowhere)
    monkeypatch.delenv("ROCM_PATH", raising=False)


@pytest.mark.usefixtures("no_runtime")
def test_bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is missing is named with the command for it: off, or a failure where AMD is wanted."""
    monkeypatch.setattr(hipopt.device.amd.compiler, "find", partial(find, system=tmp_path))
    settings = Settings(cache_dir=tmp_path, device="cpu", slots_dir=tmp_path)
    found = findings(settings)
    assert {f.health for f in found.values()} == {Health.OFF}
    assert "apt-get install clang-19" in found["amd compiler"].detail
    assert "apt-get install libamdhip64-5" in found["amd device"].detail
    wanted = findings(Settings(cache_dir=tmp_path, device="amd", slots_dir=tmp_path))
    assert {f.health for f in wanted.values()} == {Health.FAIL}


@pytest.mark.usefixtures("no_runtime")
def test_with_a_compiler(amd_cache: Path, tmp_path: Path) -> None:
    """With Debian's clang kernels compile, and nothing runs."""
    found = findings(Settings(cache_dir=amd_cache, target_arch="gfx90a", slots_dir=tmp_path))
    assert found["amd compiler"].health is Health.OK
    assert found["amd device"].health is Health.OFF
    assert "kernels can be compiled at best, not run" in found["amd device"].detail


def test_with_gpus(
    cpu_device: CpuDevice, amd_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GPUs that run the known-good kernel are fine; one that fails is named with its reset."""
    gpus = [("gfx90a", bus) for bus in BUSES]
    lib = tmp_path / "rocm" / "lib"
    standin = StandIn(build(tmp_path), lib, cpu_device, gpus, "libamdhip64.so")
    monkeypatch.setenv("ROCM_PATH", str(lib.parent))
    monkeypatch.delenv("ROCR_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(hipopt.devices, "AmdCompiler", StandInCompiler)
    monkeypatch.setattr(
        hipopt.devices, "GpuDevice", partial(hipopt.devices.GpuDevice, patience_s=0.0)
    )
    settings = Settings(cache_dir=amd_cache, device="amd", slots_dir=tmp_path / "slots")
    device = findings(settings)["amd device"]
    assert device.health is Health.OK, device.detail
    assert "2 x gfx90a (Stand-in Instinct)" in device.detail
    standin.fault("hipExtModuleLaunchKernel@1", "fault", 719, once=False)
    device = findings(settings)["amd device"]
    assert device.health is Health.WARN
    assert BUSES[1] in device.detail
    assert BUSES[0] not in device.detail
    assert "rocm-smi --gpureset" in device.detail


def test_gpus_without_a_compiler_for_them(
    cpu_device: CpuDevice, tmp_path: Path, amd_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where device libraries of another arch make do, code may be looked at but is never judged."""
    lib = tmp_path / "rocm" / "lib"
    StandIn(build(tmp_path), lib, cpu_device, [("gfx942", BUSES[0])], "libamdhip64.so")
    monkeypatch.setenv("ROCM_PATH", str(lib.parent))
    device = findings(Settings(cache_dir=amd_cache, device="amd", slots_dir=tmp_path))["amd device"]
    assert device.health is Health.FAIL
    assert "found 1 x gfx942" in device.detail
    assert "install ROCm" in device.detail
