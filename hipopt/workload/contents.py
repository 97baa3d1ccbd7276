"""What a kernel's buffers may be filled with, the likeliest first."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from hipopt.source.usage import Body, Usage
from hipopt.workload.plan import Content
from hipopt.workload.types import ArgumentType

_SORTED = re.compile(r"row_?p|ptr|offset|indptr|start|begin|prefix|segment|rowptr|cumsum", re.I)
_FLAG = Content("uniform", 0, 2)
_BELOW_ONE = Content("uniform", 0.125, 1.0)
_BEYOND_ONE = Content("uniform", 1.0, 2.0)

_PLACES = Content("uniform", 1.0, 100.0)
_NARROW = Content("index", below="=100")

_ENDS = {"int16": 16_384, "int32": 40_000, "int64": 2_200_000_000}
_UNSIGNED_ENDS = {"uint16": 32_768, "uint32": 100_000, "uint64": 4_400_000_000}

_WIDE = frozenset({
    Content("uniform", -128, 128), Content("uniform", 0, 256),
    *(Content("uniform", -end, end) for end in _ENDS.values()),
    *(Content("uniform", 0, end) for end in _UNSIGNED_ENDS.values()),
})  # fmt: skip

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
    usage = body.usage
    indexing = set().union(*usage.subscripts.values(), usage.trip_pointers, usage.compared)
    found = {}
    for parameter, kind in zip(body.capsule.parameters, types, strict=True):
        if not kind.is_pointer:
            continue
        if "int" not in kind.dtype:
            found[parameter.name] = Content("normal")
        elif parameter.name in body.usage.flags:
            found[parameter.name] = _FLAG
        elif _is_sorted(parameter.name, body.usage):
            found[parameter.name] = Content("sorted", below=bound)
        elif parameter.name in indexing:
            found[parameter.name] = Content("index", below=bound)
        else:
            found[parameter.name] = _wide(kind) if wide else Content("index", below="=100")
    return found


def _is_sorted(name: str, usage: Usage) -> bool:
    """Whether the buffer says where rows begin: by what is done with it, or by its name."""
    named = name in usage.trip_pointers and _SORTED.search(name) is not None
    return named or name in usage.offsets


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
    return {n: _BELOW_ONE if c.fill == "normal" else c for n, c in contents.items()}


def tamer(contents: Mapping[str, Content]) -> Contents:
    """The same with data on which fewer results are NaN: positive ones, then ones beyond one."""
    if any(content.fill == "normal" for content in contents.values()):
        return positive(contents)
    return {n: _BEYOND_ONE if c == _BELOW_ONE else c for n, c in contents.items()}


def narrowed(contents: Mapping[str, Content]) -> Contents:
    """The same with integers that may well be indices, where they may be anything."""
    return {n: _NARROW if c in _WIDE else c for n, c in contents.items()}


def with_places(contents: Mapping[str, Content], indexing: Collection[str]) -> Contents:
    """The same with numbers from one on in floating-point buffers whose content indexes others."""
    return {
        n: _PLACES if c.fill == "normal" and n in indexing else c for n, c in contents.items()
    }  # fmt: skip


def _careful(content: Content) -> Content:
    if content == _FLAG:
        return content
    return Content("uniform") if content.fill == "normal" else Content("index", below="=8")
