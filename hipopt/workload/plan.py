"""A way to launch a kernel at any size, and the workload that it comes to at one size."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from hipopt.records import Argument, Buffer, Fill, Scalar, Workload
from hipopt.source.folding import fold, fold_number
from hipopt.source.launches import names_of
from hipopt.source.usage import Body
from hipopt.workload.blocks import as_dim3
from hipopt.workload.roles import float_value
from hipopt.workload.sizes import Dim3, Size, extents_for, grid_for, value_of
from hipopt.workload.types import ArgumentType

GridMode: TypeAlias = Literal["host", "cover", "one"]

MAX_HOST_THREADS = 1 << 17
"""A grid of the host code beyond is for another size."""
MAX_LDS_BYTES = 64 << 10
START_LENGTH = 4096
"""Elements that a buffer is first tried with; what is reached beyond reads as zeros."""


class Content(NamedTuple):
    """What a buffer is filled with."""

    fill: Fill
    low: float | None = None
    high: float | None = None
    below: str | None = None
    """Role of the bound of an `index` fill, or of the last value of a `sorted` one."""


class Plan(NamedTuple):
    """What stays the same from size to size."""

    template: tuple[str, ...]
    block: Dim3
    roles: Mapping[str, str]
    """Of each integer scalar."""
    contents: Mapping[str, Content]
    """Of each buffer."""
    grid: GridMode = "cover"
    lds_bytes: int | None = None
    """Dynamic LDS; None: as the host code says, or as much as there is."""
    share: float = 1.0
    """Of the covering grid's blocks along x: those that have something to do."""


class Shape(NamedTuple):
    """A plan's numbers at one size."""

    grid: Dim3
    extents: Dim3
    values: Mapping[str, int]
    lds_bytes: int


def shape(plan: Plan, size: Size, body: Body, numbers: Mapping[str, int]) -> Shape:
    """The plan's launch at that size."""
    roles = list(plan.roles.values())
    extents = extents_for(size, roles)
    by_row = _by_row(roles)
    grid = grid_for(size, plan.block, body.usage.indices, extents, by_row=by_row)
    if plan.grid == "one":
        grid = (1, 1, 1)
    values = {n: value_of(r, size, extents, grid, plan.block) for n, r in plan.roles.items()}
    known = {**_host_numbers(body, values), **numbers}
    if plan.grid == "host":
        grid = _host_grid(body, known, plan.block) or grid
    if plan.share < 1:
        grid = (max(1, int(grid[0] * plan.share)), *grid[1:])
    lds_bytes = plan.lds_bytes
    if lds_bytes is None:
        lds_bytes = _host_lds(body, known) if body.usage.lds_types else 0
    return Shape(grid, extents, values, lds_bytes)


def _by_row(roles: Sequence[str]) -> bool:
    """Whether blocks along x stand for rows: nothing spans x, and something is a row's length."""
    spans = any(r in ("X", "S", "XY", "XYZ", "TX") or r[0] == "F" for r in roles)
    return not spans and any(r in ("R", "GX", "K") for r in roles)


def _host_numbers(body: Body, values: Mapping[str, int]) -> dict[str, int]:
    """The host code's variables that are passed for scalars, with the scalars' values."""
    found: dict[str, int] = dict(values)
    for launch in body.capsule.launches:
        if len(launch.args) != len(body.capsule.parameters):
            continue
        for argument, parameter in zip(launch.args, body.capsule.parameters, strict=True):
            if parameter.name in values and re.fullmatch(r"[A-Za-z_]\w*", argument.strip()):
                found[argument.strip()] = values[parameter.name]
    return found


def _host_grid(body: Body, known: Mapping[str, int], block: Dim3) -> Dim3 | None:
    for launch in body.capsule.launches:
        grid = as_dim3(fold(launch.grid, names_of(launch, known)))
        if grid is not None and math.prod(grid) * math.prod(block) <= MAX_HOST_THREADS:
            return grid
    return None


def _host_lds(body: Body, known: Mapping[str, int]) -> int:
    for launch in body.capsule.launches:
        found = fold_number(launch.lds_bytes, names_of(launch, known))
        if found is not None and 0 < found <= MAX_LDS_BYTES:
            return int(found)
    return MAX_LDS_BYTES


def workload(
    plan: Plan, size: Size, body: Body, types: Sequence[ArgumentType],
    numbers: Mapping[str, int], lengths: Mapping[str, int],
) -> Workload:  # fmt: skip
    """The plan at that size; buffers have `lengths`, or what a first try takes."""
    found = shape(plan, size, body, numbers)
    arguments: list[Argument] = []
    for index, (parameter, kind) in enumerate(zip(body.capsule.parameters, types, strict=True)):
        if kind.is_pointer:
            content = plan.contents[parameter.name]
            length = lengths.get(parameter.name, START_LENGTH * kind.width)
            arguments.append(_buffer(parameter.name, kind, content, length, size, plan, found))
        elif parameter.name in found.values:
            dtype = kind.dtype if kind.width <= 1 else "uint64"
            value = found.values[parameter.name]
            arguments.append(Scalar(name=parameter.name, scalar=dtype, value=value))
        elif kind.dtype == "bool":
            arguments.append(Scalar(name=parameter.name, scalar="bool", value=True))
        else:
            number = float_value(parameter, body, index)
            arguments.append(Scalar(name=parameter.name, scalar=kind.dtype, value=number))
    return Workload(
        grid=found.grid, block=plan.block, args=tuple(arguments), lds_bytes=found.lds_bytes,
        template=plan.template,
    )  # fmt: skip


def _buffer(
    name: str, kind: ArgumentType, content: Content, length: int, size: Size, plan: Plan,
    found: Shape,
) -> Buffer:  # fmt: skip
    bound = None
    if content.below is not None:
        bound = max(1, value_of(content.below, size, found.extents, found.grid, plan.block))
    if content.fill == "sorted" and bound is not None:
        return Buffer(
            name=name, buffer=kind.dtype, length=length, fill="sorted", low=0, high=bound + 1
        )
    return Buffer(
        name=name, buffer=kind.dtype, length=length, fill=content.fill, low=content.low,
        high=content.high, below=bound if content.fill == "index" else None,
    )  # fmt: skip
