"""What a person sees while kernels are judged: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hipopt.dispatch.progress import Progress as Dispatched
from hipopt.log.line import LogLine
from hipopt.log.summary import Summary
from hipopt.messages import Trouble

EVERY_S = 10.0
"""Between two lines of progress where there is no terminal and too many kernels to name each."""
NAMED = 500
"""Each kernel gets a line of its own if there are at most this many."""


class Display:
    """Follows a run on stderr. A context manager.

    Args:
        left: kernels to do.
        total: kernels of the manifest.
    """

    def __init__(self, left: int, total: int) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._names = left <= NAMED
        self._total = total
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn(), console=self._console, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("kernels", total=None)
        self._said_at = time.monotonic()
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def row(self, row: LogLine) -> None:
        """Names a kernel that was settled, if there are few."""
        if self._names:
            self._console.print(_line(row, self._total))

    def progress(self, now: Dispatched) -> None:
        """Shows how far it is."""
        self._bar.update(self._task, completed=now.done, total=now.total)
        if not self._names and not self._console.is_terminal:
            self._say_now_and_then(now)

    def trouble(self, trouble: Trouble) -> None:
        """Says once what is wrong on our side, and that it is waited out."""
        if trouble.message not in self._said:
            self._said.add(trouble.message)
            self._console.print(
                f"[yellow]waiting[/]: {escape(trouble.message)} (no kernel is blamed for it)"
            )

    def _say_now_and_then(self, now: Dispatched) -> None:
        if time.monotonic() - self._said_at >= EVERY_S:
            self._said_at = time.monotonic()
            self._console.print(f"{now.done} of {now.total} kernels done, {now.succeeded} faster")


def _line(row: LogLine, total: int) -> str:
    width = len(str(total))
    named = escape(f"{row.id!s:>{max(width, 5)}}  {row.name or '':32.32}")
    if row.status == "success":
        speed = f"{row.speedup:.2f}x" if isinstance(row.speedup, int | float) else ""
        return f"{named}  [green]faster[/] {speed}"
    return f"{named}  [red]{escape(str(row.failure_kind or 'failure'))}[/]"


def summary_text(summary: Summary, total: int, log: Path, again: str) -> str:
    """The closing words: done, left, by kind, the best, and the next command."""
    left = total - summary.done
    lines = [f"{total} kernels: {summary.done} done, {max(left, 0)} left"]
    lines += [f"  {'faster':18} {summary.succeeded:6}"] if summary.succeeded else []
    lines += [f"  {kind:18} {count:6}" for kind, count in summary.failures.items()]
    if summary.attempts:
        counted = ", ".join(f"{count} {outcome}" for outcome, count in summary.attempts.items())
        lines.append(f"Attempts: {counted}")
    if summary.best:
        emulated = any(winner.emulated for winner in summary.best)
        where = " (CPU time of the emulator; says nothing about a GPU)" if emulated else ""
        lines.append(f"Best speedups{where}:")
        lines += [f"  {w.speedup:6.2f}x  {w.id}  {w.name}" for w in summary.best]
    if summary.completion_tokens:
        lines.append(f"Tokens: {summary.prompt_tokens} in, {summary.completion_tokens} out")
    lines.append(f"Log: {log}")
    lines.append(f"Next: {again}" if left > 0 else "Nothing is left to do.")
    return "\n".join(lines)
