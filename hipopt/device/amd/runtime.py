"""AMD's HIP runtime library on this machine: ROCm's, or Debian's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hipopt.device.amd.toolchain import rocm_roots
from hipopt.errors import DeviceError

NAME = "libamdhip64.so"


def find_runtime(environ: Mapping[str, str], system: Path = Path("/")) -> Path:
    """The library that launches kernels; ROCm's before the system's, newest version first.

    Raises:
        DeviceError: there is none; says the command that mends it.
    """
    folders = [root / "lib" for root in rocm_roots(environ, system)]
    folders += [*sorted((system / "usr/lib").glob("*-linux-gnu")), system / "usr/lib64"]
    for folder in folders:
        found = sorted(folder.glob(f"{NAME}*"), key=lambda path: (len(path.name), path.name))
        if found:
            return found[0]  # the bare name is a link to the version that its package chose
    raise DeviceError(
        f"no {NAME} found (looked at $ROCM_PATH, /opt/rocm and /usr/lib): install ROCm, or "
        "Debian's runtime with `apt-get install libamdhip64-5`"
    )
