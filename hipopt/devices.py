"""The device that the settings name, and the microscope beside it."""

from __future__ import annotations

import logging

from hipopt.device.cpu.device import CpuDevice
from hipopt.device.interface import Device, Microscope
from hipopt.errors import DeviceError, UsageError
from hipopt.judge.judge import Judge
from hipopt.judge.options import JudgeOptions
from hipopt.settings import Settings

log = logging.getLogger(__name__)


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
    return CpuDevice(
        settings.cache_dir,
        allow_unsandboxed=settings.allow_unsandboxed,
        slots_dir=settings.slots_dir,
    )


def open_microscope(settings: Settings, device: Device) -> Microscope | None:
    """Where candidates are looked at before the device runs them: the emulator.

    None, with a warning, where this machine has no compiler for it: then nothing screens them.
    """
    if isinstance(device, CpuDevice):
        return device
    try:
        microscope = CpuDevice(settings.cache_dir, slots_dir=settings.slots_dir)
        microscope.describe()
    except DeviceError as error:
        log.warning("microscope.missing", extra={"reason": str(error)})
        return None
    return microscope


def open_judge(settings: Settings) -> Judge:
    """The judge on the device that the settings name.

    Raises:
        UsageError, DeviceError: as `open_device`.
    """
    device = open_device(settings)
    return Judge(device, judge_options(settings), open_microscope(settings, device))


def judge_options(settings: Settings) -> JudgeOptions:
    """What the settings say to the judge."""
    return JudgeOptions(
        min_speedup=settings.min_speedup,
        seeds=settings.seeds,
        launch_timeout_s=settings.launch_timeout_s,
        check_timeout_s=settings.check_timeout_s,
    )
