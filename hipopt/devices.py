"""The device that the settings name."""

from __future__ import annotations

from hipopt.device.cpu.device import CpuDevice
from hipopt.device.interface import Device
from hipopt.errors import UsageError
from hipopt.judge.options import JudgeOptions
from hipopt.settings import Settings


def open_device(settings: Settings) -> Device:
    """The device, its toolchain found and checked.

    Raises:
        UsageError: this version has no such device.
        DeviceError: its toolchain is missing; the message says what mends it.
    """
    if settings.device != "cpu":
        raise UsageError(
            f"--device {settings.device}: this version judges on the CPU device only; "
            "use --device cpu"
        )
    return CpuDevice(settings.cache_dir, allow_unsandboxed=settings.allow_unsandboxed)


def judge_options(settings: Settings) -> JudgeOptions:
    """What the settings say to the judge."""
    return JudgeOptions(
        min_speedup=settings.min_speedup,
        seeds=settings.seeds,
        launch_timeout_s=settings.launch_timeout_s,
        check_timeout_s=settings.check_timeout_s,
    )
