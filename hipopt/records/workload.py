"""How a kernel is launched: grid, block and arguments, as manifests and result rows give it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from hipopt.errors import WorkloadError
from hipopt.records.record import Record

DType: TypeAlias = Literal[
    "float16", "bfloat16", "float32", "float64",
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool",
]  # fmt: skip

Fill: TypeAlias = Literal["zeros", "ones", "iota", "normal", "uniform", "index", "sorted"]

Family: TypeAlias = Literal["ordinary", "wide", "whole", "extreme"]

FAMILIES: tuple[Family, ...] = ("ordinary", "wide", "whole", "extreme")
"""Input data comes from these; see `workload.families`."""

RANDOM_FILLS: frozenset[str] = frozenset({"normal", "uniform", "index", "sorted"})


class Buffer(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A pointer argument: `length` elements of dtype `buffer`."""

    name: str
    buffer: DType
    length: int
    """Number of elements."""
    fill: Fill = "zeros"
    """How the buffer is filled before every launch."""
    low: float | None = None
    """Least value of a `uniform` or `sorted` fill; None: 0, or the ordinary range."""
    high: float | None = None
    """Bound that a `uniform` or `sorted` fill stays below; None: 1, or the ordinary range."""
    below: int | None = None
    """Bound that the integers of an `index` fill stay below; None: the buffer's length."""

    def __post_init__(self) -> None:
        if self.length < 1:
            raise WorkloadError(
                f"buffer '{self.name}': length is {self.length}, expected 1 or more"
            )
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise WorkloadError(
                f"buffer '{self.name}': low {self.low} is not below high {self.high}"
            )
        if self.below is not None and self.below < 1:
            raise WorkloadError(f"buffer '{self.name}': below is {self.below}, expected 1 or more")


class Scalar(Record, frozen=True, kw_only=True):
    """An argument passed by value."""

    name: str
    scalar: DType
    value: float | int | bool

    def __post_init__(self) -> None:
        if "float" not in self.scalar and (
            not math.isfinite(self.value) or int(self.value) != self.value
        ):
            raise WorkloadError(f"scalar '{self.name}': {self.value} is no {self.scalar}")


Argument: TypeAlias = Buffer | Scalar


class Workload(Record, frozen=True, kw_only=True):
    """One way to launch a kernel. `args` stand in the order of the kernel's parameters."""

    grid: tuple[int, int, int]
    """Blocks in x, y, z."""
    block: tuple[int, int, int]
    """Threads of a block in x, y, z; at most 1024 together."""
    args: tuple[Argument, ...]
    lds_bytes: int = 0
    """Dynamic LDS (shared memory) in bytes."""
    template: tuple[str, ...] = ()
    """Template arguments, as written between the angle brackets; empty for a plain kernel."""
    timed: bool = True
    """Whether candidates may be timed on it; all are checked on it."""

    def __post_init__(self) -> None:
        if min(self.grid) < 1 or min(self.block) < 1:
            raise WorkloadError(f"grid {self.grid} and block {self.block} must be 1 or more")
        if math.prod(self.block) > 1024:
            raise WorkloadError(f"block {self.block} has more than 1024 threads")
        if not 0 <= self.lds_bytes <= 160 * 1024:
            raise WorkloadError(f"lds_bytes is {self.lds_bytes}, expected 0 to 163840")

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """The pointer arguments, in order."""
        return tuple(a for a in self.args if isinstance(a, Buffer))

    @classmethod
    def from_json(cls, raw: object) -> Workload:
        """The workload in the documented form.

        Raises:
            WorkloadError: naming the field and what was expected.
        """
        if not isinstance(raw, Mapping):
            raise WorkloadError(f"a workload is a JSON object, got {type(raw).__name__}")
        unknown = set(raw) - {"grid", "block", "args", "lds_bytes", "template", "timed"}
        if unknown:
            raise WorkloadError(f"unknown workload field '{min(unknown)}'")
        missing = {"grid", "block", "args"} - set(raw)
        if missing:
            raise WorkloadError(f"workload field '{min(missing)}' is missing")
        args = raw["args"]
        if not isinstance(args, list):
            raise WorkloadError("'args' is a list with one object for each kernel parameter")
        return cls(
            grid=_dim3(raw["grid"], "grid"),
            block=_dim3(raw["block"], "block"),
            args=tuple(_argument(a, i) for i, a in enumerate(args)),
            lds_bytes=_convert(raw.get("lds_bytes", 0), int, "lds_bytes"),
            template=_convert(raw.get("template", ()), tuple[str, ...], "template"),
            timed=_convert(raw.get("timed", True), bool, "timed"),
        )


def _convert(raw: object, kind: Any, where: str) -> Any:  # noqa: ANN401 (any type goes in and comes out)
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise WorkloadError(f"{where}: {error}") from None


def _dim3(raw: object, where: str) -> tuple[int, int, int]:
    """One to three integers; what is left out is 1, as in HIP's dim3."""
    sizes = [raw] if isinstance(raw, int) else raw
    dims: list[int] = _convert(sizes, list[int], where)
    if not 1 <= len(dims) <= 3:
        raise WorkloadError(f"{where}: expected one to three integers, got {len(dims)}")
    x, y, z = (*dims, 1, 1)[:3]
    return x, y, z


def _argument(raw: object, index: int) -> Argument:
    where = f"args[{index}]"
    if not isinstance(raw, Mapping):
        raise WorkloadError(f"{where}: expected an object, got {type(raw).__name__}")
    if ("buffer" in raw) == ("scalar" in raw):
        raise WorkloadError(f"{where}: expected either 'buffer' or 'scalar' with a dtype")
    kind: type[Argument] = Buffer if "buffer" in raw else Scalar
    unknown = set(raw) - set(kind.__struct_fields__)
    if unknown:
        raise WorkloadError(f"{where}: unknown field '{min(unknown)}'")
    argument: Argument = _convert({"name": f"arg{index}", **raw}, kind, where)
    return argument
