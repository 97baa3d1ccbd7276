"""Subprocesses that end: in a group of their own, with a deadline and a limit on their output.

When `run` returns or raises, no process of the group is alive, whatever the command started
(unless it left the group by a `setsid` of its own).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hipopt.records import Record

OUTPUT_BYTES = 64 << 10
"""Output kept of a command where the caller names no other limit."""


class Completed(Record, frozen=True, kw_only=True):
    """A command that has ended, by itself or at its deadline."""

    exit_code: int | None
    """None: killed at its deadline. Negative: died on that signal."""
    output: str
    """Standard output and error together, cut after `output_bytes`."""
    seconds: float
    """Wall seconds."""


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    timeout_s: float,
    output_bytes: int = OUTPUT_BYTES,
    memory_bytes: int | None = None,
) -> Completed:
    """The command, run to its end or to its deadline, with nothing of it left behind.

    Args:
        command: program and arguments; no shell reads them.
        cwd: directory that it runs in.
        environ: its whole environment; nothing is inherited.
        timeout_s: wall seconds until the group is killed.
        output_bytes: output kept; the rest is read and dropped.
        memory_bytes: limit on each process's address space.

    Raises:
        OSError: the program can't be started.
    """
    start = time.monotonic()
    child = subprocess.Popen(
        _limited(command, memory_bytes),
        cwd=cwd,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output = _read(child, start + timeout_s, output_bytes)
        exit_code = _exit_code(child, start + timeout_s)
    finally:
        kill_group(child)
    text = output.decode("utf-8", "replace")
    return Completed(exit_code=exit_code, output=text, seconds=time.monotonic() - start)


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """Every process of the child's group is dead, and the child is reaped."""
    try:
        # An unreaped leader keeps its id, so this can't hit a stranger.
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _limited(command: Sequence[str], memory_bytes: int | None) -> list[str]:
    """The command under a limit that also its first child has, as prlimit afterwards would not."""
    if memory_bytes is None:
        return list(command)
    return ["/bin/sh", "-c", f'ulimit -v {memory_bytes // 1024} && exec "$0" "$@"', *command]


def _read(child: subprocess.Popen[bytes], deadline: float, most: int) -> bytes:
    """What the child writes until it closes its output or the deadline passes."""
    assert child.stdout is not None  # noqa: S101 (it was opened as a pipe above)
    pipe = child.stdout.fileno()
    kept = bytearray()
    poller = select.poll()
    poller.register(pipe, select.POLLIN)
    while poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
        chunk = os.read(pipe, 1 << 16)
        if not chunk:
            break
        kept += chunk[: most - len(kept)]
    return bytes(kept)


def _exit_code(child: subprocess.Popen[bytes], deadline: float) -> int | None:
    """The child's exit code without reaping it first: its group must be killed while it is ours."""
    while time.monotonic() < deadline:
        ended = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None:
            return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        time.sleep(0.001)
    return None
