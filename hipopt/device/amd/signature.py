"""Whether the arguments that a code object takes are those that the source declares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hipopt.device.amd.codeobject import KernelArgument, KernelLayout
from hipopt.records import DType
from hipopt.source.capsule import KernelParameter

_POINTER_BYTES = 8
_KINDS = ("global_buffer", "by_value")


def disagreement(layout: KernelLayout, declared: Sequence[KernelParameter]) -> str | None:
    """Where code and declaration differ, in one sentence; None where they agree.

    Types that the source's parser does not resolve (structs, template types) agree with anything
    of one argument. An empty declaration is unknown, not empty, where the code takes arguments.
    """
    if declared and len(layout.arguments) != len(declared):
        return (
            f"the source declares {len(declared)} arguments, the compiled code takes "
            f"{len(layout.arguments)}"
        )
    for number, argument in enumerate(layout.arguments, start=1):
        parameter = declared[number - 1] if declared else None
        reason = _difference(argument, parameter)
        if reason is not None:
            name = f" '{parameter.name}'" if parameter else ""
            return f"argument {number}{name}: {reason}"
    return None


def _difference(argument: KernelArgument, parameter: KernelParameter | None) -> str | None:
    if argument.kind not in _KINDS:
        return f"the compiled code takes a {argument.kind}, which no launch of ours passes"
    if argument.is_pointer and argument.size != _POINTER_BYTES:
        return f"the compiled code takes a pointer of {argument.size} bytes"
    if parameter is None:
        return None
    if parameter.is_pointer and not argument.is_pointer:
        return f"the source declares a pointer, the compiled code takes {argument.size} bytes"
    if parameter.is_pointer or parameter.dtype is None:
        return None
    if argument.is_pointer:
        return f"the source declares a {parameter.dtype}, the compiled code takes a pointer"
    size = _bytes(parameter.dtype)
    if size != argument.size:
        return f"the source declares {size} bytes, the compiled code takes {argument.size}"
    return None


def _bytes(dtype: DType) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
