"""A source file with the files of its own project that it includes, as one text.

A kernel's types and macros often stand in a header beside it, and its launches in the file that
includes it. Each file is put in once, where it is first included; what can't be read stays an
`#include`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

MAX_FILES = 40
MAX_TOTAL_CHARACTERS = 1 << 20
MAX_FOLDER_ENTRIES = 200
"""A folder with more files is a collection, not a project: nobody in it is looked for."""

SUFFIXES = frozenset({
    ".h", ".hh", ".hpp", ".hxx", ".cuh", ".cu", ".hip", ".c", ".cc", ".cpp", ".cxx", ".inc", ".inl",
    ".cl",
})  # fmt: skip
_INCLUDING = frozenset({".cu", ".hip", ".cc", ".cpp", ".cxx", ".c"})
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*["<]([^">\n]+)[">][^\n]*$', re.MULTILINE)
_CONDITION = re.compile(r"^[ \t]*#[ \t]*(if|ifdef|ifndef|endif)\b", re.MULTILINE)
_GUARD = re.compile(r"\s*#[ \t]*ifndef[ \t]+(\w+)\s+#[ \t]*define[ \t]+\1\b")
_COMMENTS = re.compile(r"//[^\n]*|/\*[\s\S]*?\*/")
_FOLDERS = (".", "include", "common", "inc", "utilities", "utils", "src")
"""Where a project keeps its headers, from the folder of the file that includes one or a folder
around it."""
_LEVELS = 5
"""Folders looked from: the file's own and those around it."""


def with_includes(path: Path, text: str) -> str:
    """`text`, the content of `path`, in its project.

    Where another source of the same folder includes `path`, the result is that source with all
    that it includes: the kernel is compiled there.
    """
    owner = _owner(path)
    if owner is not None:
        whole = _Expansion().of(owner, _read(owner) or "")
        own = _INCLUDE.split(text)[-1].strip()
        if own and own[-200:] in whole:
            return whole
    return _Expansion().of(path, text)


class _Expansion:
    """Each file is put in once where that is for every build, else once for each way to it."""

    def __init__(self) -> None:
        self._done: set[Path] = set()
        """Files that are there in every build."""
        self._open: list[Path] = []
        self._files = 0
        self._left = MAX_TOTAL_CHARACTERS

    def of(self, path: Path, text: str, *, always: bool = True) -> str:
        resolved = path.resolve()
        if always:
            self._done.add(resolved)
        self._open.append(resolved)
        self._files += 1
        self._left -= len(text)
        whole = _INCLUDE.sub(lambda match: self._included(path.parent, match, always), text)
        self._open.pop()
        return whole

    def _included(self, folder: Path, match: re.Match[str], always: bool) -> str:
        path = _header(folder, match[1]) or self._beside_an_includer(match[1])
        if path is None:
            return match[0]
        if path.resolve() in {*self._done, *self._open}:
            return ""
        if self._files >= MAX_FILES:
            return match[0]
        text = _read(path)
        if text is None or len(text) > self._left:
            return match[0]
        always = always and not _is_conditional(match.string[: match.start()])
        return self.of(path, text.rstrip("\n"), always=always)

    def _beside_an_includer(self, name: str) -> Path | None:
        """The file found from those that led here: their folders are where the build looks too."""
        found = (_header(opened.parent, name) for opened in reversed(self._open))
        return next((path for path in found if path is not None), None)


def _is_conditional(before: str) -> bool:
    """Whether what follows stands within an `#if`, other than the guard of its own file."""
    starts = [match[1] for match in _CONDITION.finditer(before)]
    depth = sum(1 if word.startswith("if") else -1 for word in starts)
    return depth > bool(_GUARD.match(_COMMENTS.sub("", before)))


def _header(folder: Path, name: str) -> Path | None:
    """The project's own file of that name; None where there is none."""
    if Path(name).suffix not in SUFFIXES or Path(name).is_absolute():
        return None
    around = [folder, *folder.absolute().parents[: _LEVELS - 1]]
    places = (outer / inner / name for outer in around for inner in _FOLDERS)
    return next((p for p in places if p.parent != Path("/") and p.is_file()), None)


def _read(path: Path) -> str | None:
    """The file's text with Unix line ends; None where no such regular file can be read."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_TOTAL_CHARACTERS:
            return None
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _owner(path: Path) -> Path | None:
    """The first source in the same folder that includes `path`; None where none does."""
    return _owners(path.parent).get(path.name)


@lru_cache(maxsize=64)
def _owners(folder: Path) -> dict[str, Path]:
    """Included source files of the folder, with the first source that includes each."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return {}
    if len(entries) > MAX_FOLDER_ENTRIES:
        return {}
    found: dict[str, Path] = {}
    for entry in entries:
        text = _read(entry) if entry.suffix in _INCLUDING else None
        for name in _INCLUDE.findall(text or ""):
            included = name.removeprefix("./")
            if "/" not in included and included != entry.name:
                found.setdefault(included, entry)
    return found
