"""The scalars that a launch may be long in, and what the others are meanwhile."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from hipopt.records import Workload
from hipopt.source.usage import Usage
from hipopt.workload.resize import values_of

BEYOND_16_BITS = 65_536
LONG = (70_001, 69_632, 33_001, 33_792)
"""The long extent: no multiple of any block, else a multiple of most; then the same beyond signed
16 bits alone."""
_THIN = (3, 2)
"""The first other extents, in order; further ones are 1."""
_LONGEST_SIDE = 32
"""Of a block that other extents may be as long as."""


def extents_of(usage: Usage, alike: Sequence[Workload], *, guessed: bool) -> list[str]:
    """The scalars that are counted up to, and of which it is clear what follows them.

    In guessed launches, also those that change from size to size.
    """
    counted = set(usage.bounds) | set(usage.strides) | usage.trips | usage.divisors
    base = values_of(alike[0])
    known = {name: tuple(values_of(w).get(name) for w in alike) for name in base}
    grows = {name for name, values in known.items() if len(set(values)) > 1}
    named = (grows if len(alike) > 1 else set(base)) & counted
    if guessed:
        named |= grows
    found = [name for name, value in base.items() if name in named and value > 1]
    alone = Counter(known[name] for name in found)
    return [name for name in found if alone[known[name]] == 1]


def thins(extents: Sequence[str], block: tuple[int, int, int]) -> Iterator[dict[str, int]]:
    """Extents that are a few; or a block's side, so that tiles are whole; or 1, for strides."""
    yield {name: _THIN[at] if at < len(_THIN) else 1 for at, name in enumerate(extents)}
    if extents and max(block) <= _LONGEST_SIDE:
        yield dict.fromkeys(extents, max(block))
    if extents:
        yield dict.fromkeys(extents, 1)


def threads_of(launch: Workload) -> int:
    """Threads of all blocks together."""
    return math.prod(launch.grid) * math.prod(launch.block)
