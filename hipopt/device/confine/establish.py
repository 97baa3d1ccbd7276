"""From a compiler's command to the confinement that it runs in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hipopt.device.confine.confinement import Confinement, insist
from hipopt.device.confine.launcher import build
from hipopt.device.confine.paths import readable
from hipopt.device.confine.probe import probe


def establish(
    command: Sequence[str],
    directory: Path,
    environ: Mapping[str, str],
    *,
    write: Sequence[Path] = (),
    allow_unsandboxed: bool = False,
) -> Confinement:
    """What compilers are closed in with on this machine, probed just now.

    Args:
        command: a C++ compiler that also compiles the launcher.
        directory: where the launcher is kept; absolute, without symbolic links.
        environ: the compiler's environment.
        write: what the compiler has to write besides a scratch directory.
        allow_unsandboxed: whether to go on where there is no sandbox at all.

    Raises:
        DeviceError: the compiler does not work, or there is no sandbox and that isn't allowed.
    """
    launcher = build(command, directory, environ)
    confinement = probe(launcher, directory, environ, readable(command[0]), write)
    insist(confinement, allow_unsandboxed=allow_unsandboxed)
    return confinement
