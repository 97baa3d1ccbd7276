"""What works on this machine, what doesn't, and the one thing that mends it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator

from hipopt.amddoctor import amd_findings
from hipopt.broker.embedded import find_server
from hipopt.broker.findings import broker_findings
from hipopt.device.cpu.device import CpuDevice
from hipopt.errors import HipoptError
from hipopt.finding import Finding, Health
from hipopt.llm.client import ModelClient
from hipopt.sandboxed import sandbox_findings
from hipopt.settings import Settings


def examine(settings: Settings) -> Iterator[Finding]:
    """One finding after the other; the slow ones (compiler, model) are really tried."""
    yield Finding(name="python", health=Health.OK, detail=sys.version.split()[0])
    device = CpuDevice(
        settings.cache_dir,
        allow_unsandboxed=settings.allow_unsandboxed,
        slots_dir=settings.slots_dir,
    )
    yield from _tried("cpu device", lambda: [_cpu_device(device)])
    yield from _tried("microscope", lambda: [_microscope(device)])
    yield from _tried("sandbox", lambda: sandbox_findings(device))
    yield from amd_findings(settings)
    yield from _tried("embedded broker", lambda: [_embedded()], fail=Health.WARN)
    yield from _tried("broker", lambda: broker_findings(settings), fail=Health.WARN)
    yield from _tried("candidates", lambda: [_candidates(settings)])
    yield _log(settings)


def _tried(
    name: str, look: Callable[[], Iterable[Finding]], fail: Health = Health.FAIL
) -> Iterator[Finding]:
    try:
        yield from look()
    except HipoptError as error:
        yield Finding(name=name, health=fail, detail=str(error))


def _cpu_device(device: CpuDevice) -> Finding:
    described = device.describe()
    return Finding(
        name="cpu device",
        health=Health.OK,
        detail=f"{described.name}, {described.toolchain}",
    )


def _microscope(device: CpuDevice) -> Finding:
    trouble = device.microscope_trouble
    if trouble is None:
        return Finding(
            name="microscope",
            health=Health.OK,
            detail="candidates are searched for races and stray accesses before they are judged",
        )
    first = trouble.strip().splitlines()[0] if trouble.strip() else "it shows nothing"
    return Finding(
        name="microscope",
        health=Health.WARN,
        detail=f"candidates are judged without a look for races and stray accesses: {first}; "
        "install g++ 12 or clang 14, or later ones",
    )


def _embedded() -> Finding:
    return Finding(name="embedded broker", health=Health.OK, detail=f"{find_server()}")


def _candidates(settings: Settings) -> Finding:
    file = settings.replay or settings.candidates
    if file is not None:
        readable = file.is_file() and os.access(file, os.R_OK)
        health = Health.OK if readable else Health.FAIL
        return Finding(
            name="candidates", health=health, detail=str(file) if readable else f"{file}: no file"
        )
    if settings.model is None:
        return Finding(
            name="candidates",
            health=Health.OFF,
            detail="no model set; give --model and --base-url, or --replay, or --candidates",
        )
    return Finding(name="candidates", health=Health.OK, detail=ModelClient(settings).check())


def _log(settings: Settings) -> Finding:
    if settings.log is None:
        return Finding(name="log", health=Health.OFF, detail="no log set; give --log")
    folder = settings.log.absolute().parent
    if not os.access(folder, os.W_OK):
        return Finding(
            name="log", health=Health.FAIL, detail=f"{folder} can't be written; choose another"
        )
    free_gb = shutil.disk_usage(folder).free / 1e9
    health = Health.OK if free_gb > 1 else Health.WARN
    return Finding(name="log", health=health, detail=f"{settings.log}; {free_gb:.1f} GB free")
