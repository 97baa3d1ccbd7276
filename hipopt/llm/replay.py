"""Candidates from a file: replies recorded from a model, or bare candidates.

Only the place of each line is held in memory, so that a file of any size will do. Lines are checked
when the file is opened, so that a bad one stops a run before it starts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from hipopt.errors import UsageError
from hipopt.llm.interface import Message, ModelReply
from hipopt.records import KernelId, KernelTask


class _ReplyLine(msgspec.Struct):
    id: KernelId
    attempt: int
    reply: str


class _CandidateLine(msgspec.Struct):
    id: KernelId
    opt_kernel: str | None
    """None, as in the row of a kernel that could not be improved: nothing to judge."""
    opt_think: str | None = None


_EXPECTED: dict[type, str] = {
    _ReplyLine: 'expected lines like {"id": 1, "attempt": 1, "reply": "..."}',
    _CandidateLine: 'expected lines like {"id": 1, "opt_kernel": "..."}',
}


class Replay:
    """A `Proposer` that answers with replies recorded earlier.

    JSON Lines, each with `id`, `attempt` (from 1) and `reply`; other keys are ignored.
    """

    def __init__(self, path: Path) -> None:
        self.model = f"recorded: {path.name}"
        self._path = path
        self._offsets: dict[tuple[KernelId, int], int] = {}
        for number, offset, line in _lines(path, _ReplyLine):
            key = (line.id, line.attempt)
            if key in self._offsets:
                raise UsageError(
                    f"{path}, line {number}: attempt {line.attempt} of kernel {line.id!r} "
                    "stands in an earlier line already; keep one of the two"
                )
            self._offsets[key] = offset

    def ask(
        self,
        task: KernelTask,
        attempt: int,
        messages: Sequence[Message],  # noqa: ARG002 (a file reads no prompt)
    ) -> ModelReply | None:
        """The recorded reply; None: this attempt was not recorded."""
        offset = self._offsets.get((task.id, attempt))
        if offset is None:
            return None
        return ModelReply(text=_line_at(self._path, offset, _ReplyLine).reply)


class CandidateFile:
    """A `Proposer` that proposes given candidates, those of a kernel in the order of their lines.

    JSON Lines, each with `id`, `opt_kernel` and perhaps `opt_think`; other keys are ignored, so
    that a result log will do.
    """

    def __init__(self, path: Path) -> None:
        self.model = f"from file: {path.name}"
        self._path = path
        self._offsets: dict[KernelId, list[int]] = {}
        for _, offset, line in _lines(path, _CandidateLine):
            if line.opt_kernel is not None:
                self._offsets.setdefault(line.id, []).append(offset)

    def ask(
        self,
        task: KernelTask,
        attempt: int,
        messages: Sequence[Message],  # noqa: ARG002 (a file reads no prompt)
    ) -> ModelReply | None:
        """The kernel's next candidate, in a form of reply that can't be misread."""
        offsets = self._offsets.get(task.id, [])
        if not 1 <= attempt <= len(offsets):
            return None
        line = _line_at(self._path, offsets[attempt - 1], _CandidateLine)
        return ModelReply(text=json.dumps({"hip": line.opt_kernel, "thinking": line.opt_think}))


L = TypeVar("L")


def _lines(path: Path, form: type[L]) -> Iterator[tuple[int, int, L]]:
    """Number, offset and content of every line that is not blank."""
    decode = msgspec.json.Decoder(form).decode
    expected = _EXPECTED[form]
    offset = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, offset, _decoded(line, decode, f"{path}, line {number}", expected)
                offset += len(line)
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}; {expected}") from None


def _line_at(path: Path, offset: int, form: type[L]) -> L:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            line = file.readline()
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}") from None
    where = f"{path}, at byte {offset} (was it changed after the start?)"
    return _decoded(line, msgspec.json.Decoder(form).decode, where, _EXPECTED[form])


def _decoded(line: bytes, decode: Callable[[bytes], L], where: str, expected: str) -> L:
    try:
        return decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{where}: {error}; {expected}") from None
