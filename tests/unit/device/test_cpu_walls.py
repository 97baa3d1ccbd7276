"""A running kernel is alone, and two kernels never meet."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hipopt.device.cpu.session import CpuSession
from hipopt.device.cpu.walls import Walls, insist
from hipopt.errors import DeviceError
from hipopt.records import Scalar, Verdict

ONE = np.zeros(1, np.int32)
PLAIN = "__global__ void k(int* x) { *x = 1; }"


def pid_of(session: CpuSession) -> int:
    """The process behind a session."""
    assert session._child is not None
    return session._child._process.pid


def loaded(session: CpuSession) -> int:
    """The session's process, once it has mapped its buffers."""
    assert session.load((1, 1, 1), (1, 1, 1), 0, [ONE]) is None
    return pid_of(session)


def test_a_kernel_holds_three_descriptors(cpu: Any) -> None:
    """A kernel's process has its socket and two null devices open, and no file or memory file."""
    leaked = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        with cpu.device.open(cpu.compile(PLAIN)) as session:
            folder = Path(f"/proc/{loaded(session)}/fd")
            held = {f.name: str(f.readlink()) for f in folder.iterdir()}
    finally:
        os.close(leaked)
    assert set(held) == {"0", "1", "2"}
    assert held["0"].startswith("socket:")
    assert (held["1"], held["2"]) == ("/dev/null", "/dev/null")


def test_two_kernels_share_nothing(cpu: Any) -> None:
    """Reference and candidate run in processes of their own, with no memory in common."""

    def shared(pid: int) -> set[str]:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
        return {line.split()[4] for line in lines if re.search(r"r?w-?s | rw-s ", line)} - {"0"}

    with (
        cpu.device.open(cpu.compile(PLAIN)) as one,
        cpu.device.open(cpu.compile(PLAIN + "//")) as other,
    ):
        first, second = loaded(one), loaded(other)
        assert first != second
        assert shared(first)
        assert shared(second)
        assert shared(first).isdisjoint(shared(second))


@pytest.mark.parametrize(
    "call",
    [
        "kill(pid, 0)", "kill(-1, 0)", "ptrace(PTRACE_SEIZE, pid, 0, 0)",
        'open("/proc/self/mem", O_RDWR)', "process_vm_readv(pid, 0, 0, 0, 0, 0)", "fork()",
        "socket(AF_UNIX, SOCK_STREAM, 0)", "sched_setaffinity(pid, 0, 0)", "unshare(0x10000000)",
    ],
)  # fmt: skip
def test_a_kernel_reaches_no_other_process(cpu: Any, call: str) -> None:
    """Signals, tracing, files, sockets and new processes end the kernel that tries them."""
    source = f"""
    #include <fcntl.h>
    #include <sched.h>
    #include <signal.h>
    #include <sys/ptrace.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    #include <unistd.h>
    __global__ void k(int* x, int pid) {{ *x = (int){call}; }}
    """
    with cpu.device.open(cpu.compile(PLAIN)) as other:
        pid = Scalar(name="pid", scalar="int32", value=loaded(other))
        fault = cpu.fault(source, [ONE, pid], block=(1, 1, 1))
        assert fault.verdict == Verdict.CRASHED
        assert "may not call" in fault.reason


LANDLOCKED = """
import json, sys
from pathlib import Path
import numpy as np
from hipopt.device.cpu.device import CpuDevice
from hipopt.source.capsule import Capsule
source = '''
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
__global__ void k(int* x, int* y) {
    x[0] = open("/etc/passwd", O_RDONLY) < 0 ? errno : 0;
    x[1] = open("/tmp/written-by-a-kernel", O_WRONLY | O_CREAT, 0600) < 0 ? errno : 0;
}
'''
capsule = Capsule(source=source, kernel="k", parameters=(), kernel_text=source)
device = CpuDevice(Path(sys.argv[1]))
with device.open(device.compile(capsule, (), 60.0)) as session:
    session.load((1, 1, 1), (1, 1, 1), 0, [np.zeros(2, np.int32), np.zeros(1, np.int32)])
    session.launch(5.0)
    print(json.dumps([session.walls.missing, session.read()[0].tolist()]))
"""


def test_landlock_holds_by_itself(cpu: Any, tmp_path: Path) -> None:
    """Where a container forbids system call filters, a kernel still opens and writes no file."""
    if cpu.device.try_walls().landlock_errno:
        pytest.skip("this machine has no Landlock")
    (tmp_path / "landlocked.py").write_text(LANDLOCKED)
    cache_dir = cpu.device.toolchain.directory.parents[1]
    done = subprocess.run(
        [
            sys.executable, str(Path(__file__).with_name("without.py")), "seccomp",
            str(tmp_path / "landlocked.py"), str(cache_dir),
        ],
        capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    missing, errors = json.loads(done.stdout)
    assert set(missing) == {"seccomp"}
    assert errors == [13, 13]


def test_a_kernel_without_walls_is_refused() -> None:
    """A process that reports no wall at all is not used, unless that was allowed."""
    with pytest.raises(DeviceError, match="--allow-unsandboxed"):
        insist(Walls(1, 38), allow_unsandboxed=False)
    insist(Walls(1, 38), allow_unsandboxed=True)
    insist(Walls(1, 0), allow_unsandboxed=False)


def test_walls_are_read_from_the_first_message() -> None:
    """Both errnos come in one word, and missing walls are told by name and reason."""
    assert Walls.of(0).missing == {}
    walls = Walls.of(38 << 32 | 1)
    assert walls == Walls(filter_errno=1, landlock_errno=38)
    assert walls.missing == {
        "seccomp": "Operation not permitted",
        "landlock": "Function not implemented",
    }
