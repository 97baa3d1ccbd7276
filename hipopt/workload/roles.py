"""What each scalar of a kernel may stand for, the likeliest first."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Mapping, Sequence

from hipopt.source.atoms import Atoms
from hipopt.source.capsule import KernelParameter
from hipopt.source.folding import fold_number
from hipopt.source.launches import names_of
from hipopt.source.usage import Body, Usage
from hipopt.workload.sizes import FACTORS
from hipopt.workload.types import ArgumentType

MAX_SMALL = 64
"""A constant of the host code up to here is a count or a step, beyond it a size."""

_HINTS: Mapping[str, tuple[str, ...]] = {
    r"^(w|nx|cols?|columns?|ncols?|x_?size|x_?dim|dim_?x)$|width|num_?col": ("X", "K"),
    r"^(h|ny|rows?|nrows?|y_?size|y_?dim|dim_?y)$|height|num_?row": ("Y", "GX", "K"),
    r"^(d|nz|z_?size|z_?dim|dim_?z)$|depth|slices": ("Z", "K"),
    r"pitch|stride|^ld\w?$|lda|ldb|ldc": ("X", "K", "R"),
    r"radius|halo|^pad|window|taps|order|degree|kernel_?size|ksize|level": ("=3", "=1"),
    r"(block|base|start|first)_?(index|idx)$": ("=0", "=1"),
    r"seed": ("=12345",),
    r"offset|shift|start|begin|first|base": ("=0", "=1", "=3"),
    r"dim|channels?|features?|hidden|classes|heads?|inner": ("K", "R"),
    r"batch|images?|groups?": ("GX", "=3"),
    r"iter|steps?$|times": ("=3", "=1"),
    r"^(n|num|count|len|length|size|total|numel|nelem\w*|elements?)$|_?size$|_n$|^n_|^num": (
        "X", "K",
    ),
}  # fmt: skip
_SMALL = re.compile(r"radius|halo|^pad|window|taps|order|degree|^iter|iterations?$|pyramid|level")
_LAST = ("X", "K", "=3", "=1", "=0", "=2", "Y", "BX")
_IN_A_BYTE = ("=37", "=3", "=1", "=0")
"""What an integer of 8 bits may be: it holds no extent."""
_ORDINARY = (0.75, 0.625, 1.25, 0.875, 1.5)
"""Different for neighbours: the difference of two scalars is often divided by."""
_FLOATS: Mapping[str, float] = {
    r"eps": 1e-5, r"^min|minimum|_min|lower|^lo$": 0.0, r"^max|maximum|_max|upper|^hi$": 1.0,
    r"^(dt|delta\w*|lr|step|h)$|rate|time_?step": 0.01, r"sigma|std": 1.25,
}  # fmt: skip


def float_value(parameter: KernelParameter, body: Body, index: int) -> float:
    """What a floating-point scalar is given: the host code's constant, or a plain one."""
    for value in _host_values(body, index):
        if 1e-6 < abs(value) < 1e6:
            return float(value)
    name = parameter.name.lower()
    usual = _ORDINARY[index % len(_ORDINARY)]
    return next((v for pattern, v in _FLOATS.items() if re.search(pattern, name)), usual)


def role_options(
    body: Body, types: Sequence[ArgumentType], numbers: Mapping[str, int]
) -> dict[str, tuple[str, ...]]:
    """For each integer scalar, by name, the roles worth trying in order."""
    parameters = body.capsule.parameters
    integers = [
        (i, p, t) for i, (p, t) in enumerate(zip(parameters, types, strict=True))
        if not t.is_pointer and "int" in t.dtype
    ]  # fmt: skip
    factors = iter(range(FACTORS))
    options: dict[str, tuple[str, ...]] = {}
    for index, parameter, kind in integers:
        if kind.width > 1:
            options[parameter.name] = ("pair",)
            continue
        if kind.width == 0:
            options[parameter.name] = ("=0",)
            continue
        constants = list(_small_constants(body, index, numbers))
        if _is_counted(parameter.name, body.usage):
            constants = [role for role in constants if role != "=0"]  # nothing would be done
        if kind.dtype in ("int8", "uint8"):
            options[parameter.name] = tuple(dict.fromkeys([*constants, *_IN_A_BYTE]))
            continue
        used = list(_from_usage(parameter.name, body.usage, factors))
        named = list(_from_name(parameter.name, body.usage))
        found = [*used, *constants, *named] if _spans(parameter.name, body.usage) else [
            *constants, *used, *named]  # fmt: skip
        if _SMALL.search(parameter.name.lower()):
            found = [*constants, *named, *used]
        options[parameter.name] = tuple(dict.fromkeys([*found, *_LAST]))
    return options


def combinations(
    options: Mapping[str, Sequence[str]], weights: Mapping[str, float]
) -> Iterator[dict[str, str]]:
    """Every choice of one option for each name, the likeliest first.

    A choice is the less likely the further down its lists it takes, by the names' weights (1 where
    nothing is said).
    """
    names = list(options)
    start = (0,) * len(names)
    waiting: list[tuple[float, tuple[int, ...]]] = [(0, start)]
    seen = {start}
    while waiting:
        cost, ranks = heapq.heappop(waiting)
        yield {n: options[n][r] for n, r in zip(names, ranks, strict=True)}
        for at, name in enumerate(names):
            further = (*ranks[:at], ranks[at] + 1, *ranks[at + 1 :])
            if further[at] < len(options[name]) and further not in seen:
                seen.add(further)
                heapq.heappush(waiting, (cost + weights.get(name, 1.0), further))


def _spans(name: str, usage: Usage) -> bool:
    """Whether the scalar is an extent by its use: a constant of the host code says less then."""
    return name in usage.bounds or any(usage.strides.get(name, ()))


def _is_counted(name: str, usage: Usage) -> bool:
    """Whether the scalar says how often, or how far."""
    return name in usage.trips or _spans(name, usage) or name in usage.divisors


def _small_constants(body: Body, index: int, numbers: Mapping[str, int]) -> Iterator[str]:
    for value in _host_values(body, index, numbers):
        if 0 <= value <= MAX_SMALL and value == int(value):
            yield f"={int(value)}"


def _host_values(
    body: Body, index: int, numbers: Mapping[str, int] | None = None
) -> Iterator[int | float]:
    """What the host code passes for the parameter, where it folds."""
    for launch in body.capsule.launches:
        if len(launch.args) == len(body.capsule.parameters):
            value = fold_number(launch.args[index], names_of(launch, numbers or {}))
            if value is not None:
                yield value


def _from_usage(name: str, usage: Usage, factors: Iterator[int]) -> Iterator[str]:
    bounds = sorted(usage.bounds.get(name, ()), key=lambda s: (-len(s), sorted(s)))
    spans = {frozenset(a[1] for a in s) for s in bounds if _has(s, "t") and _has(s, "b")}
    if {frozenset("x"), frozenset("y")} <= spans:
        yield "S"
    is_factor = not usage.alone.get(name, True) and frozenset() in usage.strides.get(name, ())
    if is_factor and spans == {frozenset("x")} and (number := next(factors, None)) is not None:
        yield f"F{number}"
    elif is_factor and any(len(s) > 1 for s in spans):
        by_row = any(_has(s, "t") or _has(s, "b") for s in usage.strides.get(name, ()))
        yield "X" if by_row else "Y"
    for bound in bounds:
        yield from _bounding(bound)
    if name in usage.shifts:
        yield from ("=1", "=3", "=0")
    if name in usage.trips:
        yield "K"
    for stride in sorted(usage.strides.get(name, ()), key=_by_rows):
        yield from _striding(stride, usage)
    if name in usage.added:
        yield from ("=3", "=1")
    if name in usage.divisors:
        yield "K"
    yield from (f"={value}" for value in usage.cases.get(name, ()) if value <= MAX_SMALL)


def _bounding(atoms: Atoms) -> Iterator[str]:
    """Roles of a scalar that an index with these atoms is compared with."""
    axes = "".join(sorted({a[1] for a in atoms}))
    if len(axes) > 1:
        yield {"xy": "XY", "xyz": "XYZ"}.get(axes, "XY")
        yield "X"
        return
    if _has(atoms, "t") and _has(atoms, "b"):
        yield axes.upper()
    elif _has(atoms, "b"):
        yield f"G{axes.upper()}"
    else:
        yield from ("R", "K") if axes == "x" else ("K",)


def _by_rows(atoms: Atoms) -> tuple[bool, list[str]]:
    """Strides of rows come first: in the order of sets, workloads would differ from run to run."""
    return (not any(a[1] in "yz" for a in atoms), sorted(atoms))


def _striding(atoms: Atoms, usage: Usage) -> Iterator[str]:
    """Roles of a scalar that multiplies an index with these atoms."""
    axes = {a[1] for a in atoms}
    flat = "ty" not in usage.indices
    if axes & {"y", "z"} and not flat:
        yield "X" if "z" not in axes else "XY"
    elif axes == {"x"}:
        yield from ("R", "K") if not _has(atoms, "t") else ("K", "Y")


def _from_name(name: str, usage: Usage) -> Iterator[str]:
    flat = "ty" not in usage.indices
    for pattern, roles in _HINTS.items():
        if re.search(pattern, name.lower()):
            yield from (r for r in roles if not (flat and r in ("Y", "Z")))


def _has(atoms: Atoms, kind: str) -> bool:
    return any(a[0] == kind for a in atoms)
