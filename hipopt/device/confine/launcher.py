"""The program that closes others in, compiled once per compiler and source."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hipopt.device import process
from hipopt.errors import DeviceError

SOURCES = Path(__file__).parent / "launcher"
FAILED = 120
"""The launcher's own exit code: a layer that was asked for could not be had."""
MARK = "hipopt-confine: "
"""Begins what the launcher itself says."""

_PARTS = {
    "confine": ("confine.cpp", "namespaces.cpp", "landlock.cpp", "filter.cpp"),
    "attempts": ("attempts.cpp",),
}
_TIMEOUT_S = 600.0  # zig compiles its libraries first


class Launcher(NamedTuple):
    """The compiled programs."""

    confine: Path
    attempts: Path
    """Tries to get out of where it runs."""


def build(command: Sequence[str], directory: Path, environ: Mapping[str, str]) -> Launcher:
    """The launcher in a directory under `directory` that is named by a hash of its sources.

    Raises:
        DeviceError: the compiler does not compile it; carries what it printed.
    """
    place = directory / f"confine-{_key(command)}"
    if not place.exists():
        with tempfile.TemporaryDirectory(dir=directory, prefix="confine-") as scratch:
            done = Path(scratch) / "done"
            done.mkdir()
            for name, parts in _PARTS.items():
                _compile(command, done / name, parts, environ)
            _publish(done, place)
    return Launcher(confine=place / "confine", attempts=place / "attempts")


def _key(command: Sequence[str]) -> str:
    digest = hashlib.sha256(repr(tuple(command)).encode())
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _compile(
    command: Sequence[str], program: Path, parts: Sequence[str], environ: Mapping[str, str]
) -> None:
    """The program stands there, linked statically where that works: it starts faster."""
    sources = [str(SOURCES / part) for part in parts]
    for how in (["-static"], []):
        done = process.run(
            [*command, "-std=gnu++17", "-O1", "-w", *how, *sources, "-o", str(program)],
            cwd=program.parent,
            environ=environ,
            timeout_s=_TIMEOUT_S,
        )
        if done.exit_code == 0:
            return
    raise DeviceError(
        f"the C++ compiler '{' '.join(command)}' failed to build the sandbox's launcher "
        f"(exit code {done.exit_code}):\n{done.output[-2000:]}"
    )


def _publish(done: Path, place: Path) -> None:
    try:
        done.rename(place)
    except OSError:  # another process was faster, with the same
        if not (place / "confine").exists():
            raise
