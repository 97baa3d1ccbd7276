"""The child process, seen from outside: started, asked, waited for, killed with its group.

Guarantee: after `close` no process of the child's group is alive. A child that does not answer as
it should ends in one exception, `Ended`, that says how. Open and close it in one thread: the child
dies with the thread that started it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from hipopt.device import process
from hipopt.device.gpu.child import MESSAGE_BYTES
from hipopt.errors import DeviceError

Json = dict[str, Any]
How = Literal["deadline", "died", "failed", "unusable", "babble"]

START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from hipopt.device.gpu.child import main; main()"
)
_ROOT = Path(__file__).parents[3]
_WORDS_BYTES = 4096
"""Kept of what the child's runtime says on standard error."""
_REAP_S = 5.0


class Ended(Exception):
    """The child came to its end, or was brought to it.

    Attributes:
        how: `deadline` (no answer in time), `died` (without a word), `failed` (a call returned an
            error), `unusable` (no such library, or not usable here), `babble` (no sense).
        call: the call that failed, and `error` with `name` what it returned.
        exit_code: of a child that died; negative: the signal.
        words: what was said on standard error.
    """

    def __init__(
        self, how: How, *, call: str = "", error: int = 0, name: str = "", exit_code: int = 0,
        words: str = "",
    ) -> None:  # fmt: skip
        super().__init__(how)
        self.how = how
        self.call = call
        self.error = error
        self.name = name
        self.exit_code = exit_code
        self.words = words

    def describe(self) -> str:
        """What happened, as half a sentence."""
        if self.how == "failed":
            return f"{self.call} returned {self.name} ({self.error})"
        if self.how == "died":
            return f"the process died ({_end(self.exit_code)}){self._quoted()}"
        if self.how == "deadline":
            return "there was no answer in time"
        if self.how == "unusable":
            return self.words
        return "the process said what it never says"

    def _quoted(self) -> str:
        first = next((line.strip() for line in self.words.splitlines() if line.strip()), "")
        return f": {first[:200]}" if first else ""


def _end(exit_code: int) -> str:
    if exit_code < 0:
        try:
            return signal.Signals(-exit_code).name
        except ValueError:
            return f"signal {-exit_code}"
    return f"exit code {exit_code}"


class Channel:
    """A running child.

    Args:
        environ: its whole environment.

    Raises:
        DeviceError: it does not start.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MESSAGE_BYTES)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", START, str(_ROOT)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
                env=dict(environ),
                start_new_session=True,
            )
        except OSError as error:
            self._socket.close()
            raise DeviceError(f"the GPU's child process does not start: {error}") from None
        finally:
            theirs.close()
        self._poller = select.poll()
        self._poller.register(self._socket, select.POLLIN)

    @property
    def pid(self) -> int:
        """The child's process id, which is its group's, too."""
        return self._process.pid

    def close(self) -> None:
        """The child's whole group is dead and nothing of it is open here."""
        process.kill_group(self._process)
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._socket.close()

    def ask(self, request: Json, deadline: float, fds: Sequence[int] = ()) -> Json:
        """The reply to a request, come before `deadline` (of `time.monotonic`).

        Raises:
            Ended: there is none.
        """
        self.send(request, fds)
        return self.receive(deadline)

    def send(self, request: Json, fds: Sequence[int] = ()) -> None:
        """The child has the request.

        Raises:
            Ended: there is nobody to take it.
        """
        try:
            socket.send_fds(self._socket, [json.dumps(request).encode()], list(fds))
        except (BrokenPipeError, ConnectionResetError):
            raise self._death() from None

    def receive(self, deadline: float) -> Json:
        """The child's next message, come before `deadline`.

        Raises:
            Ended: there is none.
        """
        if not self._poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise Ended("deadline")
        try:
            raw = self._socket.recv(MESSAGE_BYTES)
        except ConnectionResetError:
            raw = b""
        if not raw:
            raise self._death()
        try:
            reply: Json = json.loads(raw)
            return self._unless_failed(reply)
        except (ValueError, KeyError, TypeError):
            raise Ended("babble") from None

    def _unless_failed(self, reply: Json) -> Json:
        if reply["say"] == "failed":
            raise Ended(
                "failed",
                call=str(reply["call"]),
                error=int(reply["error"]),
                name=str(reply["name"]),
            )
        if reply["say"] == "unusable":
            raise Ended("unusable", words=str(reply["reason"]))
        return reply

    def _death(self) -> Ended:
        try:
            exit_code = self._process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            return Ended("babble")
        return Ended("died", exit_code=exit_code, words=self._words())

    def _words(self) -> str:
        assert self._process.stderr is not None  # noqa: S101 (it was opened as a pipe above)
        pipe = self._process.stderr.fileno()
        os.set_blocking(pipe, False)
        try:
            return os.read(pipe, _WORDS_BYTES).decode("utf-8", "replace")
        except BlockingIOError:
            return ""
