"""What the doctor says of AMD: the compiler, a hipcc beside it, the GPUs of this machine."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

from msgspec.structs import replace

from hipopt.device.amd.compiler import AmdCompiler
from hipopt.device.amd.native import native_archs
from hipopt.device.amd.toolchain import hipcc_trouble
from hipopt.devices import chosen, find_gpus, open_gpus
from hipopt.errors import HipoptError
from hipopt.finding import Finding, Health
from hipopt.settings import Settings

_DEVICE = "amd device"


def amd_findings(settings: Settings) -> Iterator[Finding]:
    """One finding after the other; the compiler is really tried."""
    archs = native_archs()
    yield _compiler(settings, archs[0] if archs else settings.prompt_arch)
    trouble = hipcc_trouble(os.environ)
    if trouble is not None:
        yield Finding(name="hipcc", health=Health.WARN, detail=trouble)
    yield _gpus(settings)


def _compiler(settings: Settings, arch: str) -> Finding:
    name = "amd compiler"
    allow = settings.allow_unsandboxed
    try:
        compiler = AmdCompiler(settings.cache_dir, arch, allow_unsandboxed=allow)
        detail = f"compiles for {arch}: {compiler.describe()}"
    except HipoptError as error:
        return Finding(name=name, health=_missing(settings), detail=str(error))
    if compiler.toolchain.stand_in(arch) is not None:
        mend = f"; install ROCm to run kernels on {arch}"
        return Finding(name=name, health=Health.WARN, detail=detail + mend)
    return Finding(name=name, health=Health.OK, detail=detail)


def _missing(settings: Settings) -> Health:
    """How bad it is that AMD's GPUs can't be used."""
    return Health.FAIL if chosen(settings) == "amd" else Health.OFF


def _gpus(settings: Settings) -> Finding:
    """The GPUs, each of which is tried."""
    try:
        gpus = find_gpus(settings)
    except HipoptError as error:
        detail = f"kernels can be compiled at best, not run: {error}"
        return Finding(name=_DEVICE, health=_missing(settings), detail=detail)
    counts = Counter(f"{gpu.arch} ({gpu.name})" for gpu in gpus)
    found = ", ".join(f"{count} x {what}" for what, count in counts.items())
    try:
        troubles = {
            str(gpu): trouble
            for arch in dict.fromkeys(gpu.arch for gpu in gpus)
            for gpu, trouble in open_gpus(replace(settings, arch=arch)).examine().items()
            if trouble is not None
        }
    except HipoptError as error:
        detail = f"found {found}; not to be used: {error}"
        return Finding(name=_DEVICE, health=Health.FAIL, detail=detail)
    if not troubles:
        detail = f"found {found}; each runs the known-good kernel, or is in use by a worker"
        return Finding(name=_DEVICE, health=Health.OK, detail=detail)
    told = "; ".join(f"{gpu}: {trouble}" for gpu, trouble in troubles.items())
    health = Health.FAIL if len(troubles) == len(gpus) else Health.WARN
    detail = f"found {found}; out of service: {told}; try `rocm-smi --gpureset -d NUMBER`"
    return Finding(name=_DEVICE, health=health, detail=detail)
