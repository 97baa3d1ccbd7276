"""Which device the settings name, and which of this machine's GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from hipopt.device.cpu.device import CpuDevice
from hipopt.devices import chosen, find_gpus, open_device, settled
from hipopt.errors import DeviceError, UsageError
from hipopt.settings import Settings, load
from tests.standin_gpu.standin import StandIn, build

MIXED = (("gfx90a", "0000:0a:00.0"), ("gfx1100", "0000:0b:00.0"), ("gfx90a", "0000:0c:00.0"))


def test_the_emulator_takes_no_arch(tmp_path: Path) -> None:
    """Kernels meant for a GPU are never judged on the emulator, and NVIDIA's not at all."""
    settings = Settings(cache_dir=tmp_path, device="cpu")
    assert chosen(settings) == "cpu"
    with pytest.raises(UsageError, match="--arch gfx942: there is no such GPU"):
        open_device(replace(settings, arch="gfx942"))
    with pytest.raises(UsageError, match="--device nvidia"):
        open_device(replace(settings, device="nvidia"))


def test_gpus_of_one_arch(
    cpu_device: CpuDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a node with several archs the one asked for is taken; one that isn't there is said so."""
    lib = tmp_path / "rocm" / "lib"
    StandIn(build(tmp_path), lib, cpu_device, MIXED, "libamdhip64.so")
    monkeypatch.setenv("ROCM_PATH", str(lib.parent))
    monkeypatch.delenv("ROCR_VISIBLE_DEVICES", raising=False)
    settings = Settings(cache_dir=tmp_path, device="amd", arch="gfx90a")
    assert [gpu.token for gpu in find_gpus(settings)] == ["0", "2"]
    assert len(find_gpus(replace(settings, arch=None))) == 3
    with pytest.raises(DeviceError, match="no GPU of arch gfx950, but 2 x gfx90a, 1 x gfx1100"):
        find_gpus(replace(settings, arch="gfx950"))
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "2")
    (only,) = find_gpus(settings)
    assert (only.token, only.bus_id) == ("2", "0000:0c:00.0")


def test_child_processes_open_the_same(cpu_device: CpuDevice) -> None:
    """What `auto` stood for is settled once, and so is the arch of GPUs."""
    auto = Settings(arch="gfx942")
    described = cpu_device.describe()
    assert (settled(auto, described).device, settled(auto, described).arch) == ("cpu", None)
    gpu = replace(described, kind="amd", arch="gfx90a", emulated=False)
    assert (settled(auto, gpu).device, settled(auto, gpu).arch) == ("amd", "gfx90a")


def test_what_is_optimised_for() -> None:
    """The arch asked for, else that of the GPUs that judge, else MI300X's; an arch is checked."""
    assert Settings().prompt_arch == "gfx942"
    assert Settings(arch="gfx90a").prompt_arch == "gfx90a"
    assert Settings(arch="gfx90a", target_arch="gfx950").prompt_arch == "gfx950"
    with pytest.raises(UsageError, match="--arch: arch is 'MI300X', expected a GPU's"):
        load({"arch": "MI300X"}, {})
