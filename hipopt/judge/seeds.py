"""Fresh secret seeds: no candidate can know them, and a record of them replays a verdict."""

from __future__ import annotations

import secrets

from hipopt.records import FAMILIES
from hipopt.workload.fill import POISONS

_BITS = 45


def fresh_seeds(checks: int) -> tuple[int, ...]:
    """`checks` seeds for checking and one for timing.

    Families take turns among those for checking, and poisons too, so that all occur from four seeds
    on; the one for timing is of any, so that data don't tell a check from a timing.
    """
    first = secrets.randbelow(len(POISONS))
    drawn = [_seed(i, first + i + i // len(FAMILIES)) for i in range(checks)]
    last = _seed(secrets.randbelow(len(FAMILIES)), secrets.randbelow(len(POISONS)))
    return (*drawn, last)


def _seed(family: int, poison: int) -> int:
    """A fresh seed that `fill.family_of` and `fill.poison_of` read so."""
    fresh = secrets.randbits(_BITS) * len(FAMILIES) + family % len(FAMILIES)
    return fresh * len(POISONS) + poison % len(POISONS)
