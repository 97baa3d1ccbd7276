"""The disposable process that runs one executable, seen from outside.

Its word is taken for nothing but failure: a command is over when the reply with its number has
come, nothing else was said, and the process sleeps again; its CPU time is read from outside.
Open and close it in one thread: the process dies with the thread that started it.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from hipopt.device import process
from hipopt.device.cpu.protocol import MESSAGE_BYTES, Message, parse
from hipopt.errors import DeviceError

_SETTLE_S = 0.00002
# What a kernel frees is overwritten, and what it allocates does not show what was freed.
_ENVIRON = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.perturb=90"}


class Deadline(Exception):
    """The child did not answer in time."""


class Died(Exception):
    """The child ended without a word; `exit_code` as subprocess gives it."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"exit code {exit_code}")
        self.exit_code = exit_code


class Babble(Exception):
    """The child said something that our runtime never says."""


class Child:
    """A running executable of ours with a candidate's code in it.

    Args:
        program: the executable.
        core: the one core that it runs on; None: any.
    """

    def __init__(self, program: Path, core: int | None = None) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = subprocess.Popen(
                [str(program)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=_ENVIRON,
                start_new_session=True,
            )
            self._stat = os.open(f"/proc/{self._process.pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self._socket.close()
            raise DeviceError(f"{program}: the child process does not start: {error}") from None
        finally:
            theirs.close()
        if core is not None:
            with suppress(ProcessLookupError):  # it has died already; the first message says so
                os.sched_setaffinity(self._process.pid, {core})
        self._clock = (~self._process.pid << 3) | 2  # clock_getcpuclockid(3) of a process
        self._poller = select.poll()
        self._poller.register(self._socket, select.POLLIN)

    def kill(self) -> None:
        """The process's whole group is dead."""
        process.kill_group(self._process)

    def close(self) -> None:
        """The process's whole group is dead and nothing of it is open here."""
        self.kill()
        self._socket.close()
        os.close(self._stat)

    def send(self, request: bytes, fd: int | None = None) -> None:
        """Sends one request, with a file descriptor where given.

        Raises:
            Died: there is nobody to take it.
        """
        try:
            socket.send_fds(self._socket, [request], [] if fd is None else [fd])
        except (BrokenPipeError, ConnectionResetError):
            raise self._death() from None

    def receive(self, deadline: float) -> Message:
        """The child's next message, come before `deadline` (of `time.monotonic`).

        Raises:
            Deadline, Died, Babble: there is none.
        """
        if not self._poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise Deadline
        try:
            raw = self._socket.recv(MESSAGE_BYTES + 1)
        except ConnectionResetError:
            raise self._death() from None
        if not raw:
            raise self._death()
        message = parse(raw)
        if message is None:
            raise Babble
        return message

    def settle(self, deadline: float) -> int:
        """CPU nanoseconds of the child's life, once it sleeps and has said nothing more.

        Raises:
            Deadline, Babble: it does not rest, or talks on.
        """
        while not self._sleeps():
            if time.monotonic() > deadline:
                raise Deadline
        if self._poller.poll(0):
            raise Babble
        before, now = -1, self.cpu_ns()
        while now != before:  # it may sleep officially and still be on its way off the processor
            time.sleep(_SETTLE_S)
            before, now = now, self.cpu_ns()
        return now

    def cpu_ns(self) -> int:
        """CPU nanoseconds that the process has used, as the system counts them."""
        try:
            return time.clock_gettime_ns(self._clock)
        except OSError:
            raise self._death() from None

    def _sleeps(self) -> bool:
        state = os.pread(self._stat, 512, 0).rpartition(b") ")[2][:1]
        return state in b"SZX"

    def _death(self) -> Died:
        try:
            return Died(self._process.wait(1.0))
        except subprocess.TimeoutExpired:
            return Died(0)
