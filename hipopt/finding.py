"""What the doctor found of one thing."""

from __future__ import annotations

from enum import StrEnum

from hipopt.records import Record


class Health(StrEnum):
    """How a thing does."""

    OK = "ok"  # works, as tried just now
    WARN = "warn"  # works, but not as it should
    FAIL = "fail"  # is needed and does not work
    OFF = "off"  # is not there, and not needed for what was asked


class Finding(Record, frozen=True, kw_only=True):
    """One thing that was looked at."""

    name: str
    health: Health
    detail: str
    """What was found, and if it is not well, what mends it."""
