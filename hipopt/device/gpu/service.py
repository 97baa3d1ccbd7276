"""Which GPUs of the node are out of service, and why: files beside the slots, for all workers.

A GPU goes out of service when it fails the known-good kernel, and comes back when it passes it
again, which is tried after a while, at a worker's start, or when a person removes the file.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from hipopt.device.slots import shared_directory
from hipopt.records import Record

RECHECK_S = 600.0
"""A GPU that is out may be tried again after as long."""


def directory_of(slots_dir: Path | None) -> Path:
    """Of the slots of the node's GPUs, where `slots_dir` is as in the settings."""
    return shared_directory(slots_dir) / "gpu"


class Absence(Record, frozen=True, kw_only=True):
    """Why a GPU is out of service."""

    gpu: str
    reason: str
    since: float
    """Seconds since the epoch; of the last failure."""


class Service:
    """The node's GPUs out of service, in the directory of their slots."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, unit: int) -> Path:
        """The file that says that the GPU is out."""
        return self._directory / f"unit-{unit}.out"

    def take_out(self, unit: int, gpu: str, reason: str) -> Absence:
        """No worker of the node takes the GPU until it is put back or due for another look."""
        absence = Absence(gpu=gpu, reason=reason, since=time.time())
        self._directory.mkdir(parents=True, exist_ok=True)
        fresh = self.path(unit).with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(absence))
        fresh.replace(self.path(unit))
        return absence

    def absences(self) -> list[Absence]:
        """Of all GPUs of the node that are out, whoever used them."""
        units = (
            int(path.stem.removeprefix("unit-")) for path in self._directory.glob("unit-*.out")
        )
        found = (self.absence(unit) for unit in sorted(units))
        return [absence for absence in found if absence is not None]

    def put_back(self, unit: int) -> None:
        """The GPU is in service."""
        self.path(unit).unlink(missing_ok=True)

    def absence(self, unit: int) -> Absence | None:
        """Why the GPU is out; None: it is in service."""
        try:
            return msgspec.json.decode(self.path(unit).read_bytes(), type=Absence)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def is_due(self, absence: Absence) -> bool:
        """Whether the GPU may be tried again."""
        return time.time() - absence.since >= RECHECK_S
