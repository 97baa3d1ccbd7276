"""HIP's runtime header, precompiled for each arch: two thirds of a small kernel's compile.

Only a shortcut: nothing is blamed on a kernel that was compiled with it (see `compiler`).
"""

from __future__ import annotations

import fcntl
import tempfile
from pathlib import Path

from hipopt.device.amd.toolchain import MEMORY_BYTES, Toolchain, compiler_environ
from hipopt.errors import DeviceError

_TIMEOUT_S = 300.0


def precompiled(toolchain: Toolchain, arch: str) -> Path:
    """The precompiled header of `arch`, made where it was not; concurrent makers wait.

    Raises:
        DeviceError: the compiler can't compile the header for `arch`; says what may mend it.
    """
    place = toolchain.directory / f"{arch.replace(':', '_')}.pch"
    if not place.exists():
        with (toolchain.directory / "precompiled.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not place.exists():
                _make(toolchain, arch, place)
    return place


def _make(toolchain: Toolchain, arch: str, place: Path) -> None:
    with tempfile.TemporaryDirectory(dir=toolchain.directory, prefix="precompile-") as name:
        scratch = Path(name)
        header = str(toolchain.installation.header)
        # Textual output, so that the driver plans no assembler and no linker behind it.
        how = ["-S", "-emit-llvm", "-Xclang", "-emit-pch", header, "-o", "header.pch"]
        done = toolchain.confinement.run(
            toolchain.command(arch, *how),
            scratch=scratch,
            environ=compiler_environ(scratch),
            timeout_s=_TIMEOUT_S,
            memory_bytes=MEMORY_BYTES,
            read=toolchain.readable,
        )
        if done.exit_code != 0:
            raise DeviceError(
                f"{toolchain.version} does not compile HIP's header for {arch} (exit code "
                f"{done.exit_code}); another ROCm or clang may know that arch:\n"
                f"{done.output[-2000:]}"
            )
        (scratch / "header.pch").rename(place)
