"""The child process: our code, with a candidate's code object on the device.

It does what it is told, one request at a time: `describe` (which devices there are) or `start` (the
runtime comes up), `open` (the code object), `load`, `launch`, `read`. Requests and replies are JSON
datagrams. It holds neither expected results nor what becomes of its times, and judges nothing: a
call that failed is reported by name and ends the process. Only the standard library is imported: it
starts once for every session.
"""

from __future__ import annotations

import base64
import ctypes
import json
import mmap
import os
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from hipopt.device.gpu.symbols import CallFailed, Runtime, open_runtime

MESSAGE_BYTES = 128 << 10
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

Json = dict[str, Any]


class Hands:
    """The device's state as this process has made it."""

    def __init__(self, runtime: Runtime, flush_bytes: int, scrub: Json) -> None:
        self._runtime = runtime
        self._flush_bytes = flush_bytes
        self._flush_at = runtime.allocate(flush_bytes)
        self._scrub = scrub
        self._scrubber = runtime.function(runtime.load(_read(scrub["image"])), scrub["kernel"])
        self._image = b""
        self._kernel = ""
        self._keeps_state = True
        self._module = self._function = 0
        self._is_used = False
        self._arena = self._arena_bytes = 0
        self._before = self._after = self._mapped_bytes = 0
        self._launch: Json = {}

    def open(self, request: Json) -> Json:
        """The code object is on the device."""
        self._image = _read(request["image"])
        self._kernel = request["kernel"]
        self._keeps_state = request["keeps_state"]
        self._load_module()
        return {"say": "opened"}

    def _load_module(self) -> None:
        self._module = self._runtime.load(self._image)
        self._function = self._runtime.function(self._module, self._kernel)

    def load(self, request: Json, before: int, after: int) -> Json:
        """Memory for the launch; the address where it begins."""
        size = request["bytes"]
        if size != self._arena_bytes:
            if self._arena:
                self._runtime.free(self._arena)
            self._arena, self._arena_bytes = self._runtime.allocate(size), size
        for address in (self._before, self._after):
            _unmap(address, self._mapped_bytes)
        self._before, self._after = _mapped(before, size, write=False), _mapped(after, size)
        self._mapped_bytes = size
        self._launch = request
        return {"say": "loaded", "address": self._arena}

    def arm(self) -> None:
        """All memory is as it was loaded, LDS scrubbed, the caches cold, and the device at rest.

        All that was ever allocated here is written: a kernel finds nothing of an earlier launch.
        """
        if self._is_used and self._keeps_state:
            self._runtime.unload(self._module)
            self._load_module()
        self._runtime.copy_to_device(self._arena, self._before, self._arena_bytes)
        how = self._scrub
        self._runtime.timed_launch(
            self._scrubber, how["grid"], how["block"], how["lds_bytes"],
            bytes.fromhex(how["arguments"]),
        )  # fmt: skip
        self._runtime.fill(self._flush_at, 0x5A, self._flush_bytes)
        self._runtime.synchronize()
        self._is_used = True

    def launch(self, arguments: bytes) -> Json:
        """The kernel has run once."""
        how = self._launch
        began = time.perf_counter()
        took_ms = self._runtime.timed_launch(
            self._function, tuple(how["grid"]), tuple(how["block"]), how["lds_bytes"], arguments
        )
        wall_us = (time.perf_counter() - began) * 1e6
        return {"say": "done", "device_us": took_ms * 1000.0, "wall_us": wall_us}

    def read(self) -> Json:
        """The memory as the launch left it lies where the parent sees it."""
        self._runtime.copy_to_host(self._after, self._arena, self._arena_bytes)
        return {"say": "read"}


class Child:
    """The loop: one request, one reply (a launch says in between when it begins)."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._hands: Hands | None = None
        self._runtime: Runtime | None = None

    def run(self) -> NoReturn:
        """Until there is nobody who asks, or a call fails."""
        while True:
            raw, fds, _, _ = socket.recv_fds(self._channel, MESSAGE_BYTES, 2)
            if not raw:
                sys.exit(0)
            try:
                self._say(self._answer(json.loads(raw), fds))
            except CallFailed as failure:
                self._say(
                    {"say": "failed", "call": failure.call, "error": failure.error,
                     "name": failure.name}
                )  # fmt: skip
                os._exit(0)
            except OSError as error:
                self._say({"say": "unusable", "reason": str(error)})
                os._exit(0)

    def _answer(self, request: Json, fds: list[int]) -> Json:
        command = request["do"]
        if command in {"describe", "start"}:
            self._runtime = open_runtime(request["kind"], request["library"])
            self._runtime.begin()
            return self._describe() if command == "describe" else self._start(request)
        if self._hands is None:
            raise OSError(f"{command} before start")
        if command == "open":
            return self._hands.open(request)
        if command == "load":
            return self._hands.load(request, *fds)
        if command == "launch":
            self._hands.arm()
            self._say({"say": "armed"})
            return self._hands.launch(base64.b64decode(request["arguments"]))
        return self._hands.read()

    def _describe(self) -> Json:
        assert self._runtime is not None  # noqa: S101 (narrows the type)
        found = [self._runtime.properties(n) for n in range(self._runtime.count())]
        return {"say": "devices", "found": found}

    def _start(self, request: Json) -> Json:
        assert self._runtime is not None  # noqa: S101 (narrows the type)
        self._hands = Hands(self._runtime, request["flush_bytes"], request["scrub"])
        free, total = self._runtime.memory()
        return {"say": "started", "free_bytes": free, "total_bytes": total}

    def _say(self, reply: Json) -> None:
        self._channel.send(json.dumps(reply).encode())


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 (pathlib takes longer to import than this to run)
        return file.read()


def _mapped(fd: int, size: int, *, write: bool = True) -> int:
    """Address of the parent's memory in this process."""
    _libc.mmap.restype = ctypes.c_void_p
    access = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
    address: int | None = _libc.mmap(
        None, ctypes.c_size_t(size), access, mmap.MAP_SHARED, fd, ctypes.c_long(0)
    )
    os.close(fd)
    if address is None or address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "the parent's memory can't be mapped")
    return address


def _unmap(address: int, size: int) -> None:
    if size:
        _libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))


def main() -> NoReturn:
    """Serves the parent at the other end of standard input, and dies with it."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.set_blocking(2, False)  # what nobody reads is dropped and stops no kernel
    Child(socket.socket(fileno=0)).run()
