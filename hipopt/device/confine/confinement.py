"""What closes a compiler in on this machine, as tried at start."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from hipopt.device import process
from hipopt.device.confine.launcher import FAILED, MARK
from hipopt.device.process import Completed
from hipopt.errors import DeviceError
from hipopt.records import Record

logger = logging.getLogger(__name__)


class LayerName(StrEnum):
    """What can stand between a compiler and the machine, each by itself."""

    NAMESPACES = "namespaces"  # an almost empty file system, no network, no other process in sight
    LANDLOCK = "landlock"  # files, TCP and signals outside of a list are out of reach
    SECCOMP = "seccomp"  # system calls that no compiler needs fail


class Layer(Record, frozen=True, kw_only=True):
    """One layer, as tried."""

    name: LayerName
    missing: str | None
    """Why it can't be had; None: it is in force."""


class Confinement(Record, frozen=True, kw_only=True):
    """A way to run programs closed in; limits on memory, time and files hold in any case."""

    launcher: Path
    read: tuple[Path, ...]
    """What may be read and executed."""
    write: tuple[Path, ...]
    """What may be written besides a run's own directory."""
    layers: tuple[Layer, ...]
    breaches: tuple[str, ...] = ()
    """What a program that tried to get out succeeded in."""

    @property
    def in_force(self) -> tuple[LayerName, ...]:
        """The layers that every program runs under."""
        return tuple(layer.name for layer in self.layers if layer.missing is None)

    def run(
        self,
        command: Sequence[str],
        *,
        scratch: Path,
        environ: Mapping[str, str],
        timeout_s: float,
        memory_bytes: int = 0,
        read: Sequence[Path] = (),
    ) -> Completed:
        """The command, run closed in with `scratch` as its directory; see `process.run`.

        Args:
            command: program and arguments.
            scratch: the one directory that it may write; it starts there.
            environ: its whole environment.
            timeout_s: wall seconds until all of it is killed.
            memory_bytes: limit on each process's address space; 0: none.
            read: what else it may read.

        Raises:
            DeviceError: a layer that was in force at start could not be had now.
            OSError: the launcher can't be started.
        """
        done = process.run(
            [*self._prefix(scratch, timeout_s, memory_bytes, read), *command],
            cwd=scratch,
            environ=environ,
            timeout_s=timeout_s,
        )
        if done.exit_code == FAILED and done.output.startswith(MARK):
            raise DeviceError(f"the sandbox does not close: {done.output.strip()}")
        return done

    def _prefix(
        self, scratch: Path, timeout_s: float, memory_bytes: int, read: Sequence[Path]
    ) -> list[str]:
        return [
            str(self.launcher),
            f"--layers={','.join(self.in_force)}",
            f"--scratch={scratch.resolve()}",
            *(f"--read={path}" for path in (*self.read, *read)),
            *(f"--write={path}" for path in self.write),
            f"--memory={memory_bytes}",
            f"--cpu={2 * math.ceil(timeout_s) + 1}",  # the deadline comes first
            "--",
        ]


def insist(confinement: Confinement, *, allow_unsandboxed: bool) -> None:
    """Returns where the confinement is worth its name, having said what it lacks.

    Raises:
        DeviceError: it has no layer at all, and that was not allowed; says what mends it.
    """
    missing = {layer.name.value: layer.missing for layer in confinement.layers if layer.missing}
    if not confinement.in_force and not allow_unsandboxed:
        reasons = "; ".join(f"{name}: {why}" for name, why in missing.items())
        raise DeviceError(
            f"this machine offers no sandbox for candidates ({reasons}). Use a kernel or container "
            "that permits user namespaces, Landlock or seccomp, or, if you trust every "
            "candidate, --allow-unsandboxed"
        )
    if missing or confinement.breaches:
        logger.warning(
            "sandbox is not complete",
            extra={"missing": missing, "breaches": confinement.breaches},
        )
