"""What may vary beyond what a workload declares, so that no candidate knows its data by heart.

A workload whose weights are all one, whose data have one sign because nothing was said about their
range, or whose scalars are always the same, says nothing about other values. What is declared with
a range, as indices, or sorted, stays as declared: that is what the kernel may count on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from hipopt.records import Buffer, Family, Record, Scalar, Workload

_CONSTANT = frozenset({"zeros", "ones"})
_SIGNED: frozenset[Family] = frozenset({"wide", "extreme"})
"""Families in which a kernel's only float scalar may change its sign."""
_ADDED_TO: frozenset[Family] = frozenset({"whole", "extreme"})
"""Families in which buffers that the kernel adds to don't start at a constant: among wide data a
large start would hide what is added."""
_LARGEST_SCALAR = 1e30
"""Larger ones stand for infinity."""
_LEAST_SIGNED = 0.01
"""Smaller ones keep things from being zero, and are positive by nature."""
_AROUND = (0.5, 2.0)
_NEAR = (0.97, 1.03)
_NARROW = 0.1


class Factors(Record, frozen=True, kw_only=True):
    """What float scalars are multiplied by, all by the same, so that their order stays."""

    low: float
    high: float
    signed: bool = False
    """Whether also by the negatives."""

    @property
    def ends(self) -> tuple[float, ...]:
        """The factors between which all others lie."""
        ends = (self.low, self.high)
        return (*ends, *(-end for end in ends)) if self.signed else ends

    def draw(self, rng: np.random.Generator, family: Family) -> float:
        """A factor; on whole data a power of two if there is one, so that sums stay exact."""
        factor = float(rng.uniform(self.low, self.high))
        powers = [p for p in _AROUND if self.low <= p <= self.high]
        if family == "whole" and powers:
            factor = float(rng.choice(powers))
        return -factor if self.signed and rng.random() < 0.5 else factor


class Freedom(Record, frozen=True, kw_only=True):
    """What varies in one family of data; nothing, if empty."""

    buffers: dict[int, Buffer] = msgspec.field(default_factory=dict)
    """What is filled in place of an argument, by its index."""
    factors: Factors | None = None
    """Of the float scalars; None: they stay."""

    def launch(self, workload: Workload, seed: int, family: Family) -> Workload:
        """The workload as the seed varies it."""
        if self.factors is None:
            return self.scaled(workload, None)
        rng = np.random.default_rng([seed, len(workload.args)])
        return self.scaled(workload, self.factors.draw(rng, family))

    def scaled(self, workload: Workload, factor: float | None) -> Workload:
        """The workload with its freed buffers, and float scalars multiplied by `factor`."""
        args = [self.buffers.get(index, a) for index, a in enumerate(workload.args)]
        if factor is not None:
            least = min((abs(a.value) for a in _floats(workload) if a.value), default=1.0)
            for index, argument in enumerate(workload.args):
                if isinstance(argument, Scalar) and _is_free(argument):
                    value = (argument.value or least / 2) * factor
                    args[index] = msgspec.structs.replace(argument, value=value)
        return msgspec.structs.replace(workload, args=tuple(args))


def buffer_choices(
    workload: Workload, written: Sequence[bool], outputs: Sequence[bool], family: Family
) -> dict[int, tuple[Buffer, ...]]:
    """By argument, the fills that may take the place of the declared one, freest first.

    Args:
        workload: the launch.
        written: for each buffer, whether the kernel changes it.
        outputs: for each buffer, whether it is poisoned anyhow.
        family: of the data.
    """
    flags = iter(zip(written, outputs, strict=True))
    choices: dict[int, tuple[Buffer, ...]] = {}
    for index, argument in enumerate(workload.args):
        if isinstance(argument, Buffer):
            is_written, is_output = next(flags)
            found = () if is_output else tuple(_choices(argument, family, is_written=is_written))
            if found:
                choices[index] = found
    return choices


def factor_choices(workload: Workload, family: Family) -> tuple[Factors, ...]:
    """What float scalars may be multiplied by, freest first.

    Each stays on its side of one: slopes, rates and probabilities are below it. Two of different
    sign may be a range, so that only a single scalar changes its own.
    """
    scalars = _floats(workload)
    if not scalars:
        return ()
    low, high = _AROUND
    for value in (abs(scalar.value) for scalar in scalars if scalar.value):
        low = max(low, 1 / value) if value > 1 else low
        high = min(high, 1 / value) if value <= 1 else high
    near = Factors(low=_NEAR[0], high=_NEAR[1])
    if high - low < _NARROW:
        return (near,)
    around = Factors(low=low, high=high)
    has_sign = len(scalars) == 1 and abs(scalars[0].value) >= _LEAST_SIGNED
    if has_sign and family in _SIGNED:
        return (msgspec.structs.replace(around, signed=True), around, near)
    return (around, near)


def _floats(workload: Workload) -> list[Scalar]:
    return [a for a in workload.args if isinstance(a, Scalar) and _is_free(a)]


def _is_free(scalar: Scalar) -> bool:
    finite = math.isfinite(scalar.value) and abs(scalar.value) <= _LARGEST_SCALAR
    return "float" in scalar.scalar and finite


def _choices(buffer: Buffer, family: Family, *, is_written: bool) -> Iterator[Buffer]:
    is_float = "float" in buffer.buffer
    undeclared = buffer.low is None and buffer.high is None
    if buffer.fill == "uniform" and undeclared and buffer.buffer != "bool":
        yield _filled(buffer, "normal")
        if is_float:
            yield _filled(buffer, "uniform", -1.0, 1.0)
    elif buffer.fill == "iota" and not is_written:
        yield _filled(buffer, "sorted", 0.0, float(buffer.length))
    elif buffer.fill in _CONSTANT and is_float and (not is_written or family in _ADDED_TO):
        yield _filled(buffer, "normal")
        yield _filled(buffer, "uniform", -1.0, 1.0)
        yield _filled(buffer, "uniform", 0.5, 2.0)
    elif buffer.fill in _CONSTANT and not is_float and not is_written:
        yield _filled(buffer, "uniform", 0.0, 2.0)  # flags stay flags


def _filled(
    buffer: Buffer, fill: str, low: float | None = None, high: float | None = None
) -> Buffer:
    return msgspec.structs.replace(buffer, fill=fill, low=low, high=high)
