"""Which block shapes a kernel may be tried with."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping

from hipopt.source.folding import Names, fold, fold_number
from hipopt.source.launches import definitions_of, functions_of, names_of
from hipopt.source.usage import Body

Dim3 = tuple[int, int, int]

MAX_TRIED = 8
MAX_THREADS = 1024


def block_options(body: Body, numbers: Mapping[str, int]) -> tuple[Dim3, ...]:
    """Block shapes, the likeliest first; `numbers` are the template's integers."""
    axes = [axis for axis in "xyz" if f"t{axis}" in body.usage.indices]
    names = body_names(body, numbers)
    telling, others = _from_constants(body, names, axes)
    found = [
        *_from_host(body, numbers), *_from_lds(body, names, axes), *_from_bounds(body, names, axes),
        *telling, *_usual(axes), *others,
    ]  # fmt: skip
    fitting = (b for b in found if 1 <= math.prod(b) <= MAX_THREADS and min(b) >= 1)
    return tuple(dict.fromkeys(fitting))[:MAX_TRIED]


def body_names(body: Body, numbers: Mapping[str, int]) -> Names:
    """What the names in the kernel's own text stand for."""
    return Names(numbers, definitions_of(body.file.pieces), functions_of(body.file.pieces))


def _from_host(body: Body, numbers: Mapping[str, int]) -> Iterator[Dim3]:
    for launch in body.capsule.launches:
        block = as_dim3(fold(launch.block, names_of(launch, numbers)))
        if block is not None:
            yield block


def as_dim3(value: object) -> Dim3 | None:
    """Three positive whole numbers of a folded value; None where it isn't."""
    sides = value if isinstance(value, tuple) else (value, 1, 1)
    if not all(isinstance(s, int | float) and 1 <= s < 2**31 for s in sides):
        return None
    x, y, z = (int(s) for s in sides)
    return x, y, z


def _from_lds(body: Body, names: Names, axes: list[str]) -> Iterator[Dim3]:
    for shape in body.usage.lds_shapes:
        sizes = [fold_number(s, names) for s in shape]
        sides = [int(s) for s in sizes if s is not None]
        if len(sides) != len(shape):
            continue
        if len(axes) == 2 and len(sides) >= 2:
            rows, columns = sides[-2:]
            even = columns - 1 if columns % 2 and columns > 1 else columns
            yield from ((columns, rows, 1), (even, rows, 1), (rows, rows, 1), (even, even, 1))
        elif axes == ["x"]:
            yield (sides[0], 1, 1)
            yield (math.prod(sides), 1, 1)
        elif len(axes) == 2:
            yield from _square(sides[0], axes)


def _from_bounds(body: Body, names: Names, axes: list[str]) -> Iterator[Dim3]:
    text = body.usage.launch_bounds
    threads = fold_number(text, names) if text else None
    if threads is not None:
        yield from _square(int(threads), axes)


def _square(threads: int, axes: list[str]) -> Iterator[Dim3]:
    """A block of that many threads along the axes in use."""
    if len(axes) <= 1:
        yield along(axes, threads)
    elif threads >= 4:
        side = 1 << (int(math.log2(threads)) // 2)
        yield (threads // side, side, 1)


def along(axes: Iterable[str], side: int) -> Dim3:
    """A block with `side` threads along the first axis in use."""
    axis = next(iter(axes), None)
    if axis is None:
        return (1, 1, 1)
    x, y, z = (side if axis == a else 1 for a in "xyz")
    return x, y, z


def _from_constants(body: Body, names: Names, axes: list[str]) -> tuple[list[Dim3], list[Dim3]]:
    """From constants and template integers in the kernel's text: those called blocks, and others.

    Where the kernel never asks for its block's size, any constant may be that size.
    """
    asks = any(f"d{axis}" in body.usage.indices for axis in axes)
    words = [*re.findall(r"\b[A-Za-z_]\w*\b", body.kernel.text), *names.numbers]
    telling: list[Dim3] = []
    others: list[Dim3] = []
    for word in dict.fromkeys(words):
        if word not in names.texts and word not in names.numbers:
            continue
        value = fold_number(word, names)
        if value is None or not 8 <= value <= MAX_THREADS:
            continue
        shape = _of_side(int(value), axes)
        called = re.search(r"block|thread|tile|group|bs$|tpb|wg", word.lower())
        (telling if called or not asks else others).extend(shape)
    return telling, others


def _of_side(side: int, axes: list[str]) -> Iterator[Dim3]:
    if len(axes) <= 1:
        yield along(axes, side)
    elif side * side <= MAX_THREADS:
        yield (side, side, 1)


def _usual(axes: list[str]) -> Iterator[Dim3]:
    if len(axes) <= 1:
        yield from (along(axes, side) for side in (256, 64, 128, 512, 1024, 32))
    elif axes == ["x", "y"]:
        yield from ((16, 16, 1), (32, 8, 1), (32, 32, 1), (8, 8, 1), (64, 4, 1))
    else:
        shape = {"x": 8, "y": 8, "z": 4}
        x, y, z = (shape[a] if a in axes else 1 for a in "xyz")
        yield (x, y, z)
        yield tuple(4 if a in axes else 1 for a in "xyz")  # type: ignore[misc]  # three axes
