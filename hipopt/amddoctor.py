"""What the doctor says of AMD: the compiler, a hipcc beside it, the GPUs of this machine."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

from hipopt.device.amd.compiler import AmdCompiler
from hipopt.device.amd.native import native_archs
from hipopt.device.amd.toolchain import hipcc_trouble
from hipopt.errors import HipoptError
from hipopt.finding import Finding, Health
from hipopt.settings import Settings


def amd_findings(settings: Settings) -> Iterator[Finding]:
    """One finding after the other; the compiler is really tried."""
    archs = native_archs()
    yield _compiler(settings, archs[0] if archs else settings.prompt_arch)
    trouble = hipcc_trouble(os.environ)
    if trouble is not None:
        yield Finding(name="hipcc", health=Health.WARN, detail=trouble)
    yield _gpus(archs)


def _compiler(settings: Settings, arch: str) -> Finding:
    name = "amd compiler"
    allow = settings.allow_unsandboxed
    try:
        compiler = AmdCompiler(settings.cache_dir, arch, allow_unsandboxed=allow)
        detail = f"compiles for {arch}: {compiler.describe()}"
    except HipoptError as error:
        health = Health.FAIL if settings.device == "amd" else Health.OFF
        return Finding(name=name, health=health, detail=str(error))
    if compiler.toolchain.stand_in(arch) is not None:
        mend = f"; install ROCm to run kernels on {arch}"
        return Finding(name=name, health=Health.WARN, detail=detail + mend)
    return Finding(name=name, health=Health.OK, detail=detail)


def _gpus(archs: tuple[str, ...]) -> Finding:
    name = "amd device"
    if not archs:
        detail = "this machine shows no AMD GPU (/sys/class/kfd): kernels can be compiled, not run"
        return Finding(name=name, health=Health.OFF, detail=detail)
    found = ", ".join(f"{count} x {arch}" for arch, count in Counter(archs).items())
    return Finding(
        name=name,
        health=Health.OFF,
        detail=f"found {found}; this version judges on the CPU device only",
    )
