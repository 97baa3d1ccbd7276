"""Subprocesses end, with everything they started."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

import pytest

from hipopt.device import process
from hipopt.device.process import Completed

ENVIRON = {"PATH": os.environ["PATH"]}


def shell(script: str, timeout_s: float = 30.0, **more: int) -> Completed:
    """The script run by `process.run`."""
    command = ["/bin/sh", "-c", script]
    return process.run(command, cwd=Path("/"), environ=ENVIRON, timeout_s=timeout_s, **more)


def test_output_and_exit_code() -> None:
    """Both output streams are kept, in order, with the exit code."""
    done = shell("echo one; echo two >&2; exit 3")
    assert (done.exit_code, done.output) == (3, "one\ntwo\n")


def test_signal() -> None:
    """Death by a signal is its negative number."""
    assert shell("kill -9 $$").exit_code == -9


def test_deadline() -> None:
    """At the deadline the command ends, with what it wrote so far."""
    start = time.monotonic()
    done = shell("echo begun; sleep 60", timeout_s=1.0)
    assert (done.exit_code, done.output) == (None, "begun\n")
    assert time.monotonic() - start < 15.0


def test_closed_output_does_not_hide_a_hang() -> None:
    """A command that closes its output and goes on is still bound by the deadline."""
    assert shell("exec >&- 2>&-; sleep 30", timeout_s=0.2).exit_code is None


def test_nothing_is_left(tmp_path: Path) -> None:
    """A background process that outlives its parent is killed with the group."""
    pipe = tmp_path / "held"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert shell(f"exec 3>{pipe}; sleep 300 >/dev/null 2>&1 & exit 0").exit_code == 0
        poller = select.poll()
        poller.register(reader, select.POLLIN)
        assert poller.poll(10_000) == [(reader, select.POLLHUP)]  # nobody holds it any more
    finally:
        os.close(reader)


def test_output_is_cut() -> None:
    """A flood is read to its end and kept up to the limit."""
    done = shell("head -c 3000000 /dev/zero", output_bytes=1000)
    assert (done.exit_code, len(done.output)) == (0, 1000)


def test_endless_output_meets_the_deadline() -> None:
    """A flood without end does not outrun the deadline."""
    start = time.monotonic()
    assert shell("yes", timeout_s=0.3, output_bytes=1000).exit_code is None
    assert time.monotonic() - start < 15.0


def test_memory_limit() -> None:
    """A command can't use more address space than it is given."""
    assert shell("head -c 200M /dev/zero | tail -c 200M", memory_bytes=100 << 20).exit_code != 0


def test_environment_is_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of our environment reaches the command but what it is given."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert "secret" not in shell("env").output
