"""What a kernel's buffers may be filled with, the likeliest first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hipopt.source.usage import Body
from hipopt.workload.plan import Content
from hipopt.workload.types import ArgumentType

_SORTED = re.compile(r"row_?p|ptr|offset|indptr|start|begin|prefix|segment|rowptr|cumsum", re.I)

_ENDS = {"int16": 16_384, "int32": 40_000, "int64": 2_200_000_000}
_UNSIGNED_ENDS = {"uint16": 32_768, "uint32": 100_000, "uint64": 4_400_000_000}

Contents = dict[str, Content]


def content_options(body: Body, types: Sequence[ArgumentType]) -> tuple[Contents, ...]:
    """Fills of all buffers by name: as their use suggests, then ever more careful ones."""
    suggested = _contents(body, types, "X", wide=True)
    options = (
        suggested,
        positive(suggested),
        _contents(body, types, "K", wide=False),
        {name: _careful(content) for name, content in _contents(body, types, "=8").items()},
    )
    return tuple(c for i, c in enumerate(options) if c not in options[:i])


def _contents(
    body: Body, types: Sequence[ArgumentType], bound: str, *, wide: bool = False
) -> Contents:
    """Integers that index, or bound a loop, stay below `bound`; others are `wide` or below 100."""
    indexing = set().union(*body.usage.subscripts.values(), body.usage.trip_pointers)
    found = {}
    for parameter, kind in zip(body.capsule.parameters, types, strict=True):
        if not kind.is_pointer:
            continue
        if "int" not in kind.dtype:
            found[parameter.name] = Content("normal")
        elif parameter.name in body.usage.trip_pointers and _SORTED.search(parameter.name):
            found[parameter.name] = Content("sorted", below=bound)
        elif parameter.name in indexing:
            found[parameter.name] = Content("index", below=bound)
        else:
            found[parameter.name] = _wide(kind) if wide else Content("index", below="=100")
    return found


def _wide(kind: ArgumentType) -> Content:
    """Integers of either sign where there is one, products of two of them still within the type.

    Beyond the next narrower type, so that one shows; of 32 bits without sign that takes products
    beyond the type, which wrap.
    """
    if kind.dtype in ("int8", "uint8"):
        return Content("uniform", -128, 128) if kind.dtype == "int8" else Content("uniform", 0, 256)
    if kind.dtype[0] == "u":
        return Content("uniform", 0, _UNSIGNED_ENDS[kind.dtype])
    end = _ENDS[kind.dtype]
    return Content("uniform", -end, end)


def positive(contents: Mapping[str, Content]) -> Contents:
    """The same with floating-point numbers that are positive and none too small."""
    return {name: _positive(content) for name, content in contents.items()}


def _positive(content: Content) -> Content:
    return Content("uniform", 0.125, 1.0) if content.fill == "normal" else content


def _careful(content: Content) -> Content:
    return Content("uniform") if content.fill == "normal" else Content("index", below="=8")
