"""Where a kernel's values come from: atoms of indices, scalars and pointers."""

from __future__ import annotations

import re
from collections.abc import Iterator

Atoms = frozenset[str]
"""Where a value comes from: `tx`, `by`, `dz` (block size), `gx` (grid size), a parameter's name,
`*p` for what is read through the pointer `p`."""

BUILTIN = {"threadIdx": "t", "blockIdx": "b", "blockDim": "d", "gridDim": "g"}
OLD_BUILTIN = re.compile(r"hip(Thread|Block)(Idx|Dim)_([xyz])|hipGridDim_([xyz])")
_THREAD_ATOMS = {"thread_rank": {"tx"}, "thread_index": {"tx"}, "group_index": {"bx"}}


def index_atoms(text: str) -> Iterator[str]:
    """The indices and sizes that the text names."""
    for name, axis in re.findall(r"\b(threadIdx|blockIdx|blockDim|gridDim)\s*\.\s*([xyz])", text):
        yield BUILTIN[name] + axis
    for match in OLD_BUILTIN.finditer(text):
        yield old_atom(match)
    for name, found in _THREAD_ATOMS.items():
        if re.search(rf"\.\s*{name}\s*\(", text):
            yield from found
            if "this_grid" in text or "grid_group" in text:
                yield "bx"


def old_atom(match: re.Match[str]) -> str:
    """The atom of a name of old, as `OLD_BUILTIN` matches it."""
    if match[4]:
        return f"g{match[4]}"
    return ("d" if match[2] == "Dim" else match[1][0].lower()) + match[3]


def is_index(atom: str) -> bool:
    """Whether the atom is a thread's or a block's index."""
    return len(atom) == 2 and atom[0] in "tb" and atom[1] in "xyz"


def indices_of(atoms: Atoms) -> Atoms:
    """Those that are indices."""
    return frozenset(a for a in atoms if is_index(a))
