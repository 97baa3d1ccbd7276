"""Launches derived from those that count: with other scalars, contents or numbers of blocks."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Sequence

import msgspec

from hipopt.records import Argument, Buffer, Scalar, Workload
from hipopt.source.capsule import Capsule
from hipopt.source.usage import Body
from hipopt.workload.resize import values_of
from hipopt.workload.sizes import bytes_of

_LEAST_HALVED = 4
_PLAIN = (0, 1, 2, 3, 4, 5, 8, 16)
_MOST_WRITTEN = 256
"""Numbers in the kernel's text beyond are no values to try."""
_NUMBER = re.compile(r"(?<![\w.])(\d+|0x[0-9a-fA-F]+)[uUlL]*(?![\w.])")
_SEED = 1
_SHARES = (2, 8, 1 << 30)
_INDICES_BELOW = (2, 4, 64)
_FLOATS = (0.0, 1.0, -1.0)
_SHIFT = re.compile(r"<<|>>")
_BITS = (17, 16)
"""Beyond what an integer of 16 bits may be shifted by."""


def told_apart(workloads: Sequence[Workload]) -> Iterator[list[tuple[str, Workload]]]:
    """For two integer scalars that are the same in all launches, the smallest with one halved."""
    base = min(workloads, key=bytes_of)
    for one, other in itertools.combinations(_integers(base), 2):
        value = _value(base, one)
        same = all(_value(w, one) == _value(w, other) for w in workloads)
        if same and value >= _LEAST_HALVED:
            what = f"'{base.args[one].name}' and '{base.args[other].name}'"
            yield [
                (what, launch)
                for at in (other, one)
                for _, launch in _changed(base, {at: value // 2 + 1})
            ]


def _value(launch: Workload, at: int) -> int:
    argument = launch.args[at]
    return int(argument.value) if isinstance(argument, Scalar) else 0


def shifted(
    capsule: Capsule, workloads: Sequence[Workload]
) -> Iterator[list[tuple[str, Workload]]]:
    """For each scalar that something is shifted by, the smallest with so many bits; none timed."""
    base = msgspec.structs.replace(min(workloads, key=bytes_of), timed=False)
    shifts = Body(capsule).usage.shifts if _SHIFT.search(capsule.kernel_text) else set()
    for at in _integers(base):
        name = base.args[at].name
        if name in shifts and max(_value(w, at) for w in workloads) < min(_BITS):
            yield [(f"'{name}'", one) for by in _BITS for _, one in _changed(base, {at: by})]


def others(
    capsule: Capsule, workloads: Sequence[Workload], max_pairs: int
) -> Iterator[tuple[str, Workload]]:
    """The smallest launch with other values, few changed first."""
    base = min(workloads, key=bytes_of)
    for at, argument in enumerate(base.args):
        if isinstance(argument, Scalar) and argument.scalar == "bool":
            yield f"'{argument.name}'", _with(base, {at: _valued(argument, not argument.value)})
    yield from _other_grids(base)
    values = _values(capsule, base)
    for at, value in ((at, value) for value in values for at in _integers(base)):
        yield from _changed(base, {at: value})
    for value in values:
        yield from _changed(base, dict.fromkeys(_small(workloads), value))
    for below in _INDICES_BELOW:
        yield from _other_contents(base, below)
    yield from _other_floats(base)
    pairs = [*itertools.product(itertools.combinations(_integers(base), 2), values, values)]
    chance = random.Random(_SEED)  # noqa: S311
    for (one, other), value, second in chance.sample(pairs, min(len(pairs), max_pairs)):
        yield from _changed(base, {one: value, other: second})


def _other_grids(base: Workload) -> Iterator[tuple[str, Workload]]:
    """With fewer blocks along one axis, so that loops over the grid go round."""
    for axis, side in enumerate(base.grid):
        for blocks in dict.fromkeys(max(1, side // share) for share in _SHARES):
            if blocks < side:
                x, y, z = (blocks if at == axis else s for at, s in enumerate(base.grid))
                yield "numbers of blocks", msgspec.structs.replace(base, grid=(x, y, z))


def _values(capsule: Capsule, base: Workload) -> list[int]:
    """What scalars are tried with: the text's numbers, their neighbours, other scalars."""
    written = [int(n, 0) for n in _NUMBER.findall(capsule.kernel_text) if _is_number(n)]
    near = [w + step for w in written if w <= _MOST_WRITTEN for step in (0, 1, -1)]
    some = dict.fromkeys([*_PLAIN, *near, *values_of(base).values()])
    return [value for value in some if value >= 0]


def _is_number(text: str) -> bool:
    return text.startswith("0x") or text == "0" or not text.startswith("0")


def _integers(base: Workload) -> list[int]:
    return [
        at for at, a in enumerate(base.args) if isinstance(a, Scalar) and "int" in a.scalar
    ]  # fmt: skip


def _small(workloads: Sequence[Workload]) -> list[int]:
    """Integer scalars that don't change from size to size."""
    return [
        at for at in _integers(workloads[0]) if len({w.args[at] for w in workloads}) == 1
    ]  # fmt: skip


def _changed(base: Workload, values: dict[int, int]) -> Iterator[tuple[str, Workload]]:
    args: dict[int, Argument] = {}
    for at, value in values.items():
        argument = base.args[at]
        if isinstance(argument, Scalar) and argument.value != value:
            args[at] = _valued(argument, value)
    if args:
        names = " and ".join(f"'{base.args[at].name}'" for at in args)
        yield f"values of {names}", _with(base, args)


def _other_contents(base: Workload, below: int) -> Iterator[tuple[str, Workload]]:
    """With integers below that bound in one buffer."""
    for at, argument in enumerate(base.args):
        if isinstance(argument, Buffer) and "int" in argument.buffer and argument.below != below:
            filled = Buffer(
                name=argument.name, buffer=argument.buffer, length=argument.length, fill="index",
                below=below,
            )  # fmt: skip
            yield f"content of '{argument.name}'", _with(base, {at: filled})


def _other_floats(base: Workload) -> Iterator[tuple[str, Workload]]:
    for at, argument in enumerate(base.args):
        if isinstance(argument, Scalar) and "float" in argument.scalar:
            for value in _FLOATS:
                yield f"values of '{argument.name}'", _with(base, {at: _valued(argument, value)})


def _valued(argument: Scalar, value: float) -> Scalar:
    return msgspec.structs.replace(argument, value=value)


def _with(base: Workload, args: dict[int, Argument]) -> Workload:
    """The launch with those arguments, by place."""
    changed = tuple(args.get(at, a) for at, a in enumerate(base.args))
    return msgspec.structs.replace(base, args=changed)
