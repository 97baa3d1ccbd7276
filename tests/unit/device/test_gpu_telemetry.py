"""What drivers show of a GPU is read where it is there, and missed by nobody where it isn't."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from hipopt.device.gpu.gpu import Gpu
from hipopt.device.gpu.telemetry import Telemetry, clock_mhz, look

GPU = Gpu(
    kind="amd", library=Path("libamdhip64.so"), token="0", unit=1, name="MI300X", arch="gfx942",
    memory_bytes=192 << 30, wave_size=64, compute_units=304, lds_bytes=64 << 10,
    bus_id="0000:C1:00.0",
)  # fmt: skip


def shown(sysfs: Path, **files: str) -> Path:
    """A sysfs in which amdgpu shows these of the GPU."""
    device = sysfs / "0000:c1:00.0"
    for name, text in files.items():
        inside = device if name == "gpu_busy_percent" else device / "hwmon" / "hwmon3"
        inside.mkdir(parents=True, exist_ok=True)
        (inside / name).write_text(text)
    return sysfs


def test_amdgpu(tmp_path: Path) -> None:
    """Hertz and microwatts become MHz and W."""
    files = {"freq1_input": "2100000000\n", "power1_average": "749000000\n"}
    sysfs = shown(tmp_path, gpu_busy_percent="37\n", **files)
    assert look(GPU, sysfs) == Telemetry(clock_mhz=2100.0, power_w=749.0, busy_percent=37.0)


def test_the_clock_alone(tmp_path: Path) -> None:
    """The clock of the compute units, in MHz; NVIDIA's library is not asked for it."""
    sysfs = shown(tmp_path, freq1_input="1900000000\n")
    assert clock_mhz(GPU, sysfs) == 1900.0
    assert clock_mhz(GPU, tmp_path / "nowhere") is None
    assert clock_mhz(replace(GPU, kind="nvidia"), sysfs) is None


def test_newer_amdgpu(tmp_path: Path) -> None:
    """Newer GPUs show momentary power under another name."""
    assert look(GPU, shown(tmp_path, power1_input="150500000\n")).power_w == 150.5


def test_nothing_shown(tmp_path: Path) -> None:
    """No such device, files that are no numbers: all is unknown, nothing fails."""
    assert look(GPU, tmp_path) == Telemetry()
    assert look(GPU, shown(tmp_path, gpu_busy_percent="n/a\n")) == Telemetry()
