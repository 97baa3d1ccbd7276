"""Makes manifest rows from HIP sources, one row a kernel."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from hipopt.errors import SourceError, UsageError
from hipopt.source.parse import SourceFile, parse
from hipopt.source.piece import Piece

SUFFIXES = frozenset({".hip", ".cu", ".cuh", ".cpp", ".cc", ".cxx", ".hpp", ".h"})
"""What is looked at in a folder; a file that is named is read whatever its suffix."""

_NUMBERED = re.compile(r"hip_(\d+)_")


def extract(
    paths: Iterable[Path],
    *,
    relative_to: Path | None = None,
    warnings: list[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """One manifest row for every kernel in the files and folders, `id` counting from 1.

    Files come in the order of their paths, those called `hip_<number>_...` by that number; kernels
    in the order of their file. `hip_file` is the path from `relative_to` (the manifest's folder)
    where given, else as found. What can't be read goes to `warnings` as a sentence, and the rest
    goes on.

    Raises:
        UsageError: one of the paths doesn't exist.
    """
    ids = count(1)
    notes = warnings if warnings is not None else []
    for path in source_files(paths):
        file = _read(path, notes)
        if file is None:
            continue
        hip_file = os.path.relpath(path, relative_to) if relative_to is not None else str(path)
        for kernel in file.kernels:
            yield {
                "id": next(ids),
                "name": _name(kernel, file.kernels),
                "code_body": kernel.text,
                "hip_file": hip_file,
            }


def source_files(paths: Iterable[Path]) -> list[Path]:
    """The files named, and those of the folders named that can hold HIP; each once, sorted.

    Raises:
        UsageError: one of the paths doesn't exist.
    """
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found.update(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file())
        elif path.exists():
            found.add(path)
        else:
            raise UsageError(f"{path} doesn't exist; give files or folders with HIP sources")
    return sorted(found, key=_order)


def _order(path: Path) -> tuple[str, int, str]:
    match = _NUMBERED.match(path.name)
    return str(path.parent), int(match.group(1)) if match else -1, path.name


def _read(path: Path, notes: list[str]) -> SourceFile | None:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        if "__global__" not in text:
            return None
        file = parse(text)
    except OSError as error:
        notes.append(f"{path}: {error.strerror}")
        return None
    except SourceError as error:
        notes.append(f"{path}: {error}")
        return None
    for kernel, macro in file.made_by_macro.items():
        notes.append(
            f"{path}: kernel '{kernel}' exists only as the macro {macro} expands; left out"
        )
    return file


def _name(kernel: Piece, kernels: Sequence[Piece]) -> str:
    """The kernel's own name; qualified where another namespace of the file has one of that name."""
    same = {k.qualified_name for k in kernels if k.names == kernel.names}
    return kernel.names[0] if len(same) == 1 else kernel.qualified_name
