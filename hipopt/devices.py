"""The device that the settings name, and the microscope beside it."""

from __future__ import annotations

import getpass
import logging
import os
from collections import Counter
from pathlib import Path

from msgspec.structs import replace

from hipopt.device.amd.compiler import AmdCompiler
from hipopt.device.amd.native import native_archs
from hipopt.device.amd.runtime import find_runtime
from hipopt.device.cpu.device import CpuDevice
from hipopt.device.gpu.detect import detect
from hipopt.device.gpu.device import GpuDevice
from hipopt.device.gpu.gpu import Gpu
from hipopt.device.gpu.service import directory_of
from hipopt.device.interface import Device, DeviceDescription, DeviceName, Microscope
from hipopt.errors import DeviceError, UsageError
from hipopt.judge.judge import Judge
from hipopt.judge.options import JudgeOptions
from hipopt.settings import Settings

log = logging.getLogger(__name__)

KFD = Path("/dev/kfd")
"""What every user of an AMD GPU has to open."""


def open_device(settings: Settings) -> Device:
    """The device, its toolchain found and checked.

    Raises:
        UsageError: this version has no such device.
        DeviceError: its toolchain is missing; the message says what mends it.
    """
    kind = chosen(settings)
    if kind == "amd":
        return open_gpus(settings)
    if kind == "nvidia":
        raise UsageError(
            "--device nvidia: this version judges on AMD's GPUs and on the CPU device; "
            "use --device amd or --device cpu"
        )
    if settings.arch is not None:
        raise UsageError(
            f"--arch {settings.arch}: there is no such GPU, as the device is the CPU's emulator; "
            "leave out --arch, or use --device amd"
        )
    return _cpu(settings)


def chosen(settings: Settings) -> DeviceName:
    """What the settings name; `auto` is AMD's GPUs where the driver shows any.

    A runtime or a compiler that does not work is no reason for the emulator: it would judge what
    was meant for a GPU.
    """
    if settings.device != "auto":
        return settings.device
    return "amd" if native_archs() else "cpu"


def settled(settings: Settings, device: DeviceDescription) -> Settings:
    """The settings with the device that was opened, so that child processes open the same."""
    arch = None if device.emulated else device.arch
    return replace(settings, device=device.kind, arch=arch)


def _cpu(settings: Settings) -> CpuDevice:
    return CpuDevice(
        settings.cache_dir,
        allow_unsandboxed=settings.allow_unsandboxed,
        slots_dir=settings.slots_dir,
    )


def open_gpus(settings: Settings) -> GpuDevice:
    """AMD's GPUs that the settings allow, with the compiler for them.

    Raises:
        DeviceError: there are none, or of several archs, or no compiler that judging can rest on.
    """
    gpus = find_gpus(settings)
    compiler = AmdCompiler(
        settings.cache_dir,
        gpus[0].arch,
        allow_unsandboxed=settings.allow_unsandboxed,
        slots_dir=settings.slots_dir,
    )
    compiler.describe()
    other = compiler.toolchain.stand_in(compiler.arch)
    if other is not None:
        raise DeviceError(
            f"this machine's compiler has no device library for {compiler.arch}, only one for "
            f"{other}: what it makes may be looked at, but not judged; install ROCm"
        )
    return GpuDevice(gpus, compiler, directory_of(settings.slots_dir))


def find_gpus(settings: Settings) -> list[Gpu]:
    """AMD's GPUs that the settings allow, as the runtime shows them; at least one.

    Raises:
        DeviceError: there is no runtime, or no such GPU; says what mends it.
    """
    library = find_runtime(os.environ)
    try:
        found = detect("amd", library)
    except DeviceError as error:
        raise DeviceError(f"{error}; {_mend()}") from None
    wanted = [gpu for gpu in found if settings.arch in (None, gpu.arch)]
    if not wanted:
        counts = Counter(gpu.arch for gpu in found)
        there = ", ".join(f"{count} x {arch}" for arch, count in counts.items()) or "no GPU"
        what = f"GPU of arch {settings.arch}" if settings.arch else "GPU"
        raise DeviceError(f"{library} shows no {what}, but {there}; {_mend()}")
    return wanted


def _mend() -> str:
    """What helps where the runtime shows no GPU, by what the driver shows."""
    if not native_archs():
        return (
            "the kernel driver shows none (/sys/class/kfd): load it with `modprobe amdgpu`, or use "
            "--device cpu"
        )
    if not os.access(KFD, os.R_OK | os.W_OK):
        return f"{KFD} can't be opened: run `usermod -aG render,video {getpass.getuser()}`"
    return "see what ROCR_VISIBLE_DEVICES hides, or use --device cpu"


def open_microscope(settings: Settings, device: Device) -> Microscope | None:
    """Where candidates are looked at before the device runs them: the emulator.

    None, with a warning, where this machine has no compiler for it: then nothing screens them.
    """
    if isinstance(device, CpuDevice):
        return device
    try:
        microscope = _cpu(settings)
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
