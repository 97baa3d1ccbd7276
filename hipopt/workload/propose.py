"""Workloads guessed from a kernel's signature, for the plain cases.

Plain means: one index dimension, pointers to arithmetic types, one element count, and any number of
floating-point scalars. Whether a guess means anything is for `judge.qualify` to find out.
"""

from __future__ import annotations

import re

from hipopt.records import Argument, Buffer, Record, Scalar, Workload
from hipopt.source.capsule import Capsule, KernelParameter

BLOCK = 256
LENGTHS = (10_007, 262_144)
"""A prime, so no multiple of a block or a wave; and one large enough to be timed."""

_COUNT_NAMES = re.compile(
    r"^(n|N|num|count|len|length|size|total|numel|nelem|n_?elements?|num_?elements?|"
    r"\w*_(?:size|len|length|count|elements|n)|vector_?size|array_?size|data_?size)$"
)
_MORE_DIMENSIONS = re.compile(r"\b(?:threadIdx|blockIdx|blockDim)\s*\.\s*[yz]\b|hip\w+_[yz]\b")


class NoGuess(Record, frozen=True, kw_only=True):
    """Why no workload could be guessed."""

    reason: str


def propose(capsule: Capsule) -> tuple[Workload, ...] | NoGuess:
    """Workloads for the capsule's kernel, small ones first, or why there are none."""
    objection = _objection(capsule)
    if objection:
        return NoGuess(reason=objection)
    return tuple(_workload(capsule.parameters, length) for length in LENGTHS)


def _objection(capsule: Capsule) -> str | None:
    if capsule.template_parameters:
        return "it is a template, and nothing says for which arguments"
    if re.search(r"extern\s+__shared__|HIP_DYNAMIC_SHARED", capsule.source):
        return "it takes dynamic LDS, and nothing says how much"
    if _MORE_DIMENSIONS.search(capsule.source):
        return "it uses more than one index dimension"
    for parameter in capsule.parameters:
        if parameter.dtype is None:
            return f"parameter '{parameter.name}' has type '{parameter.type_text}'"
    pointers = [p for p in capsule.parameters if p.is_pointer]
    if all(p.is_const for p in pointers):
        return "it has no pointer to write through"
    integers = [p for p in capsule.parameters if _is_integer(p)]
    if len(integers) != 1 or not _COUNT_NAMES.match(integers[0].name):
        named = ", ".join(f"'{p.name}'" for p in integers) or "none"
        return f"its integer parameters ({named}) are not just an element count"
    return None


def _is_integer(parameter: KernelParameter) -> bool:
    return not parameter.is_pointer and parameter.dtype is not None and "int" in parameter.dtype


def _workload(parameters: tuple[KernelParameter, ...], length: int) -> Workload:
    return Workload(
        grid=(-(-length // BLOCK), 1, 1),
        block=(BLOCK, 1, 1),
        args=tuple(_argument(parameter, length) for parameter in parameters),
    )


def _argument(parameter: KernelParameter, length: int) -> Argument:
    assert parameter.dtype is not None  # noqa: S101 (_objection saw to it)
    if parameter.is_pointer:
        return Buffer(name=parameter.name, buffer=parameter.dtype, length=length, fill="normal")
    if _is_integer(parameter):
        return Scalar(name=parameter.name, scalar=parameter.dtype, value=length)
    is_bool = parameter.dtype == "bool"
    return Scalar(name=parameter.name, scalar=parameter.dtype, value=True if is_bool else 0.75)
