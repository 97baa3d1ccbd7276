"""What closes a running kernel in, as its process reports before any of its code runs."""

from __future__ import annotations

import logging
import os
from functools import cache
from typing import NamedTuple

from hipopt.errors import DeviceError

logger = logging.getLogger(__name__)

_HALF = 32


class Walls(NamedTuple):
    """Each wall by the errno that it could not be had for; 0: it stands."""

    filter_errno: int
    """Of the system call filter: nothing but reading, writing and memory of its own."""
    landlock_errno: int
    """Of Landlock with nothing allowed: no file, no network, no signal to others."""

    @classmethod
    def of(cls, detail: int) -> Walls:
        """As the first message of the runtime has them."""
        return cls(detail & (1 << _HALF) - 1, detail >> _HALF)

    @property
    def missing(self) -> dict[str, str]:
        """The walls that don't stand, each with the reason."""
        errnos = {"seccomp": self.filter_errno, "landlock": self.landlock_errno}
        return {name: os.strerror(errno) for name, errno in errnos.items() if errno}


def insist(walls: Walls, *, allow_unsandboxed: bool) -> None:
    """Returns where a kernel is closed in; says once what is missing.

    Raises:
        DeviceError: nothing closes it in, and that was not allowed.
    """
    if walls.missing and not allow_unsandboxed and all(walls):
        reasons = "; ".join(f"{name}: {why}" for name, why in walls.missing.items())
        raise DeviceError(
            f"kernels would run with nothing around them here ({reasons}). Use a kernel or "
            "container that permits seccomp or Landlock, or, if you trust every candidate, "
            "--allow-unsandboxed"
        )
    if walls.missing:
        _warn(walls)


@cache
def _warn(walls: Walls) -> None:
    logger.warning("kernels run without a part of their sandbox", extra={"missing": walls.missing})
