"""The command line's frame: help, unknown commands, and how errors are said."""

import subprocess
import sys

import pytest

from hipopt.cli.main import COMMANDS


def _hipopt(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hipopt", *arguments], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    """`hipopt COMMAND --help` exits 0 and says how it is used."""
    done = _hipopt(name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: python -m hipopt {name}")


def test_a_typing_mistake_is_named() -> None:
    """An unknown command or option exits with 2 and names what was typed, and what was meant."""
    for arguments, typed, meant in (
        (["dispach"], "dispach", "dispatch"),
        (["dispatch", "--shrads", "3"], "--shrads", "--shards"),
        (["log", "verfy"], "verfy", "verify"),
    ):
        done = _hipopt(*arguments)
        assert done.returncode == 2
        assert f"'{typed}'" in done.stderr
        assert f"'{meant}'" in done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) <= 5
