"""A device is held by no more processes at once than it has slots."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hipopt.device.slots import hold_slot

HOLDER = """
import sys, time
from pathlib import Path
from hipopt.device.slots import hold_slot
with hold_slot(Path(sys.argv[1]), [0]):
    print("held", flush=True)
    time.sleep(60)
"""

CORE_HOLDER = """
import os, sys, time
from pathlib import Path
from hipopt.device.cpu.cores import Cores
os.sched_setaffinity(0, {int(sys.argv[2])})
with Cores(Path(sys.argv[1])).for_kernels():
    print("held", flush=True)
    time.sleep(60)
"""


def test_slots_are_exclusive(tmp_path: Path) -> None:
    """Nested holders of one process get different slots too."""
    three = (4, 7, 9)
    one, other, third = (hold_slot(tmp_path, three) for _ in three)
    with one as a, other as b, third as c:
        assert {a, b, c} == {4, 7, 9}


def test_never_more_holders_than_slots(tmp_path: Path) -> None:
    """Many contenders all get their turn, never more than the count at once."""
    held, most, lock = 0, 0, threading.Lock()

    def contend() -> None:
        nonlocal held, most
        for _ in range(20):
            with hold_slot(tmp_path, [0, 1]):
                with lock:
                    held += 1
                    most = max(most, held)
                time.sleep(0.0005)
                with lock:
                    held -= 1

    threads = [threading.Thread(target=contend) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (held, most) == (0, 2)


def test_a_dead_holder_gives_its_slot_back(tmp_path: Path) -> None:
    """A waiter gets the slot of a holder that is killed."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        threading.Timer(0.1, lambda: os.kill(holder.pid, signal.SIGKILL)).start()
        with hold_slot(tmp_path, [0]) as slot:
            assert slot == 0


def test_processes_without_a_common_tmp_share_a_named_folder(tmp_path: Path) -> None:
    """Who names the same `slots_dir` waits for a core that the other holds, as containers must."""
    (tmp_path / "tmp").mkdir()
    core = min(os.sched_getaffinity(0))
    command = [sys.executable, "-c", CORE_HOLDER, str(tmp_path / "slots"), str(core)]
    environ = os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with hold_slot(tmp_path / "slots" / "cpu", [core], otherwise=-1) as slot:
            assert slot == -1
        holder.kill()


def test_processes_with_different_units_agree(tmp_path: Path) -> None:
    """Who may use units 0 and 1 and who may use 1 and 2 never get the same one."""
    sets = ([0, 1], [1, 2], [0, 1, 2])
    one, other, third = (hold_slot(tmp_path, units) for units in sets)
    with one as a, other as b, third as c:
        assert {a, b, c} == {0, 1, 2}


def test_what_one_has_already_is_not_waited_for(tmp_path: Path) -> None:
    """A free unit is preferred to the one at hand, which is given where none is free."""
    with (
        hold_slot(tmp_path, [0, 1]) as mine,
        hold_slot(tmp_path, [0, 1], otherwise=mine) as other,
        hold_slot(tmp_path, [0, 1], otherwise=mine) as again,
    ):
        assert other != mine
        assert again == mine


def test_units_are_needed(tmp_path: Path) -> None:
    """No units at all is a mistake of the caller."""
    with pytest.raises(ValueError, match="no units"), hold_slot(tmp_path, []):
        pass
