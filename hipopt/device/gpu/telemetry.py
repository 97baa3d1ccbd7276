"""A GPU's clock, power and load, as its driver shows them: amdgpu in sysfs, NVIDIA's by NVML.

Reading starts no work on the GPU and needs no rights. What a driver doesn't show is None: then
blocks of a measurement in which the clock sagged stay in, and other users go unnoticed.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from ctypes import byref, c_char_p, c_int, c_uint, c_void_p
from pathlib import Path

from hipopt.device.gpu.gpu import Gpu
from hipopt.records import Record

SYSFS = Path("/sys/bus/pci/devices")
NVML = "libnvidia-ml.so.1"
_SM_CLOCK = 1


class Telemetry(Record, frozen=True, kw_only=True):
    """One look at a GPU. None: its driver does not tell."""

    clock_mhz: float | None = None
    """Of the compute units, now."""
    power_w: float | None = None
    busy_percent: float | None = None
    """Share of the last moments in which something ran on it."""


def clock_mhz(gpu: Gpu, sysfs: Path = SYSFS) -> float | None:
    """Of the compute units, now; None: the driver does not tell.

    Of AMD's GPUs alone: it costs one read of a file, NVIDIA's library some milliseconds.
    """
    if gpu.kind != "amd":
        return None
    clock_hz = _number(_sensors(sysfs / gpu.bus_id.lower()) / "freq1_input")
    return None if clock_hz is None else clock_hz / 1e6


def look(gpu: Gpu, sysfs: Path = SYSFS) -> Telemetry:
    """What the driver shows of the GPU now."""
    if gpu.kind == "nvidia":
        return _from_nvml(gpu.bus_id)
    return _from_sysfs(sysfs / gpu.bus_id.lower())


def _from_sysfs(device: Path) -> Telemetry:
    sensors = _sensors(device)
    power_uw = _number(sensors / "power1_average") or _number(sensors / "power1_input")
    clock_hz = _number(sensors / "freq1_input")
    return Telemetry(
        clock_mhz=None if clock_hz is None else clock_hz / 1e6,
        power_w=None if power_uw is None else power_uw / 1e6,
        busy_percent=_number(device / "gpu_busy_percent"),
    )


def _sensors(device: Path) -> Path:
    """The driver's folder of sensors of a device."""
    return next(iter(sorted(device.glob("hwmon/hwmon*"))), device)


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", c_uint), ("memory", c_uint))


def _from_nvml(bus_id: str) -> Telemetry:
    try:
        nvml = ctypes.CDLL(NVML)
    except OSError:
        return Telemetry()
    handle, clock_mhz, power_mw, load = c_void_p(), c_uint(), c_uint(), _Utilization()
    with suppress(AttributeError):
        if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByPciBusId_v2(
            c_char_p(bus_id.encode()), byref(handle)
        ):
            return Telemetry()
        has_clock = not nvml.nvmlDeviceGetClockInfo(handle, c_int(_SM_CLOCK), byref(clock_mhz))
        has_power = not nvml.nvmlDeviceGetPowerUsage(handle, byref(power_mw))
        has_load = not nvml.nvmlDeviceGetUtilizationRates(handle, byref(load))
        nvml.nvmlShutdown()
        return Telemetry(
            clock_mhz=float(clock_mhz.value) if has_clock else None,
            power_w=power_mw.value / 1000 if has_power else None,
            busy_percent=float(load.gpu) if has_load else None,
        )
    return Telemetry()
