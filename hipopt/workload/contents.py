"""What a kernel's buffers may be filled with, the likeliest first."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hipopt.source.usage import Body
from hipopt.workload.plan import Content
from hipopt.workload.types import ArgumentType

_SORTED = re.compile(r"row_?p|ptr|offset|indptr|start|begin|prefix|segment|rowptr|cumsum", re.I)

Contents = dict[str, Content]


def content_options(body: Body, types: Sequence[ArgumentType]) -> tuple[Contents, ...]:
    """Fills of all buffers by name: as their use suggests, then ever more careful ones."""
    suggested = _contents(body, types, "X", Content("normal"))
    inner = _contents(body, types, "K", Content("normal"))
    careful = _contents(body, types, "=8", Content("uniform"), every=True)
    return tuple(c for i, c in enumerate((suggested, inner, careful))
                 if c not in (suggested, inner)[:i])  # fmt: skip


def _contents(
    body: Body, types: Sequence[ArgumentType], bound: str, floats: Content, *, every: bool = False
) -> Contents:
    indexing = set().union(*body.usage.subscripts.values(), body.usage.trip_pointers)
    found = {}
    for parameter, kind in zip(body.capsule.parameters, types, strict=True):
        if not kind.is_pointer:
            continue
        if "float" in kind.dtype or kind.dtype == "bool":
            found[parameter.name] = floats if "float" in kind.dtype else Content("normal")
        elif parameter.name in body.usage.trip_pointers and _SORTED.search(parameter.name):
            found[parameter.name] = Content("sorted", below=bound)
        elif parameter.name in indexing or every:
            found[parameter.name] = Content("index", below=bound)
        else:
            found[parameter.name] = Content("index", below="=100")
    return found
