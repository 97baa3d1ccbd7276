"""Which of many kernels' mutants are judged, where not all can be."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator

from benchmarks.mutation import Mutant, mutants


def sample(texts: dict[str, str], count: int, seed: int) -> list[tuple[str, Mutant]]:
    """`count` mutants of the kernels, by label: the kernels in turn, and the kinds of each.

    The same for the same texts and seed; a greater `count` adds to a smaller one.
    """
    queues = {label: _in_turn(mutants(text), f"{seed}/{label}") for label, text in texts.items()}
    chosen: list[tuple[str, Mutant]] = []
    while queues and len(chosen) < count:
        for label in list(queues):
            mutant = next(queues[label], None)
            if mutant is None:
                del queues[label]
            else:
                chosen.append((label, mutant))
    return chosen[:count]


def _in_turn(found: list[Mutant], seed: str) -> Iterator[Mutant]:
    """The mutants in chance order, one kind after the other."""
    chance = random.Random(seed)
    kinds: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in chance.sample(found, len(found)):
        kinds[mutant.kind].append(mutant)
    order = chance.sample(sorted(kinds), len(kinds))
    while order:
        for kind in list(order):
            yield kinds[kind].pop()
            if not kinds[kind]:
                order.remove(kind)
