"""Candidates without a model: recorded replies, or kernels from a file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from hipopt.errors import UsageError
from hipopt.llm.client import ModelClient
from hipopt.llm.interface import Message, ModelReply, Proposer
from hipopt.records import KernelId, KernelTask
from hipopt.settings import Settings

Row = TypeVar("Row")


class _Reply(msgspec.Struct):
    id: KernelId
    attempt: int
    reply: str


class _Given(msgspec.Struct):
    id: KernelId
    opt_kernel: str
    opt_think: str | None = None


class _Place(msgspec.Struct):
    """Where a row stands, so that only the replies in use are in memory."""

    attempt: int
    offset: int


class _Lines:
    """The rows of a JSON Lines file by kernel, each kernel's in the order of its attempts."""

    def __init__(self, path: Path, kind: type[Any], example: str) -> None:
        self.path, self._kind, self._example = path, kind, example
        self._places: dict[KernelId, list[_Place]] = defaultdict(list)
        for offset, row in self._rows():
            number = getattr(row, "attempt", len(self._places[row.id]) + 1)
            self._places[row.id].append(_Place(attempt=number, offset=offset))
        for places in self._places.values():
            places.sort(key=lambda place: place.attempt)

    def row(self, kernel_id: KernelId, attempt: int) -> Any | None:  # noqa: ANN401 (a `kind`)
        """The row of a kernel's attempt, from 1; None: there are no more."""
        places = self._places.get(kernel_id, [])
        if attempt > len(places):
            return None
        with self.path.open("rb") as file:
            file.seek(places[attempt - 1].offset)
            return msgspec.json.decode(file.readline(), type=self._kind)

    def _rows(self) -> Iterator[tuple[int, Any]]:
        offset = 0
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield offset, self._decode(line, number)
                    offset += len(line)
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror}; expected {self._example}") from None

    def _decode(self, line: bytes, number: int) -> Any:  # noqa: ANN401 (a `kind`)
        try:
            return msgspec.json.decode(line, type=self._kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(
                f"{self.path}: line {number}: {error}; expected {self._example}"
            ) from None


class Replay:
    """Recorded replies of a model, read through the same parsing as live ones.

    Raises:
        UsageError: the file can't be read; names the line.
    """

    def __init__(self, path: Path) -> None:
        self._lines = _Lines(path, _Reply, 'lines like {"id": 1, "attempt": 1, "reply": "..."}')

    @property
    def model(self) -> str:
        """The file's name, said to be a recording."""
        return f"recorded: {self._lines.path.name}"

    def ask(
        self,
        task: KernelTask,
        attempt: int,
        messages: Sequence[Message],  # noqa: ARG002
    ) -> ModelReply | None:
        """The recorded reply to this attempt; None: there are no more."""
        row = self._lines.row(task.id, attempt)
        return None if row is None else ModelReply(text=row.reply)


class CandidateFile:
    """Kernels from a file, each line one attempt.

    Raises:
        UsageError: the file can't be read; names the line.
    """

    def __init__(self, path: Path) -> None:
        self._lines = _Lines(path, _Given, 'lines like {"id": 1, "opt_kernel": "..."}')

    @property
    def model(self) -> str:
        """The file's name, said to be a file."""
        return f"from file: {self._lines.path.name}"

    def ask(
        self,
        task: KernelTask,
        attempt: int,
        messages: Sequence[Message],  # noqa: ARG002
    ) -> ModelReply | None:
        """The candidate of this attempt as a reply would hold it; None: there are no more."""
        row = self._lines.row(task.id, attempt)
        if row is None:
            return None
        fence = "`" * 8  # longer than any inside
        return ModelReply(text=f"{fence}hip\n{row.opt_kernel}\n{fence}", reasoning=row.opt_think)


def make_proposer(settings: Settings) -> Proposer:
    """The source of candidates that the settings name.

    Raises:
        UsageError: none is named, or more than one, or its file can't be read.
    """
    named = [name for name in ("model", "replay", "candidates") if getattr(settings, name)]
    if len(named) != 1:
        what = (
            "no source of candidates is given" if not named else f"{' and '.join(named)} are given"
        )
        raise UsageError(
            f"{what}: give one of --model (with --base-url), --replay FILE or --candidates FILE"
        )
    if settings.replay:
        return Replay(settings.replay)
    if settings.candidates:
        return CandidateFile(settings.candidates)
    return ModelClient(settings)
