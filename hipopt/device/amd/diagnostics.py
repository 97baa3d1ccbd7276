"""A compiler's errors as file, line and message."""

from __future__ import annotations

import re

from hipopt.records import Record

_LOCATED = re.compile(r"^([^\s:][^:]*):(\d+):(\d+): (?:fatal )?error: (.*)$")
_BARE = re.compile(r"^(?:[\w.+-]+: )?(?:fatal )?error: (.*)$")
_OBJECT = re.compile(r"(?:\S*/)?unit-gfx\w+-\w+\.o")


class Diagnostic(Record, frozen=True, kw_only=True):
    """One error."""

    file: str | None
    """None: the compiler or linker names no place."""
    line: int | None
    """From 1; of the capsule where `file` is `kernel.hip`."""
    column: int | None
    message: str


def diagnostics(output: str) -> tuple[Diagnostic, ...]:
    """The errors in a compiler's output, in its order."""
    return tuple(found for line in output.splitlines() if (found := _diagnostic(line)) is not None)


def _diagnostic(line: str) -> Diagnostic | None:
    if located := _LOCATED.match(line):
        file, row, column, message = located.groups()
        return Diagnostic(file=file, line=int(row), column=int(column), message=message)
    if bare := _BARE.match(line):
        return Diagnostic(file=None, line=None, column=None, message=bare[1])
    return None


def shortened(output: str, directories: tuple[str, ...]) -> str:
    """The output without our directories and without what only says that there were errors."""
    for directory in directories:
        output = output.replace(f"{directory}/", "")
    lines = _OBJECT.sub("kernel.hip", output).splitlines()
    return "".join(f"{line}\n" for line in lines if not _is_noise(line))


def _is_noise(line: str) -> bool:
    failed = "command failed with exit code" in line
    return failed or re.match(r"\d+ errors? generated", line) is not None
