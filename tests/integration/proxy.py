"""A TCP proxy that passes, stalls or cuts, as a network does."""

from __future__ import annotations

import select
import socket
import struct
import threading
from contextlib import suppress
from typing import Literal

Mode = Literal["pass", "stall", "cut"]


class Proxy:
    """Stands between clients and a server on this host. Ends with `close`.

    `pass` hands every byte on; `stall` keeps connections open, takes new ones, and hands nothing
    on; `cut` resets what is open and what comes.
    """

    def __init__(self, server_port: int) -> None:
        self._server = ("127.0.0.1", server_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.refused = 0
        """Connections that were reset, or taken while stalled."""
        self._peer: dict[socket.socket, socket.socket] = {}
        self._mode: Mode = "pass"
        self._woken, self._waker = socket.socketpair()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def set(self, mode: Mode) -> None:
        """The network is like this from now on."""
        self._mode = mode
        self._waker.send(b"m")

    @property
    def idle(self) -> bool:
        """Whether no connection is open."""
        return not self._peer

    def close(self) -> None:
        self._over = True
        self._waker.send(b"x")
        self._thread.join()
        for each in (*self._peer, self._listener, self._woken, self._waker):
            each.close()

    def _run(self) -> None:
        while not self._over:
            passing = list(self._peer) if self._mode == "pass" else []
            ready, _, _ = select.select([self._listener, self._woken, *passing], [], [])
            for each in ready:
                if each is self._woken:
                    each.recv(100)
                elif each is self._listener:
                    self._accept()
                elif each in self._peer:
                    self._hand_on(each)
            if self._mode == "cut":
                for each in list(self._peer):
                    self._reset(each)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        self.refused += self._mode != "pass"
        try:
            server = socket.create_connection(self._server)
        except OSError:
            client.close()
            return
        self._peer |= {client: server, server: client}

    def _hand_on(self, sender: socket.socket) -> None:
        try:
            data = sender.recv(1 << 16)
            if data:
                self._peer[sender].sendall(data)
                return
        except OSError:
            pass
        self._reset(sender)

    def _reset(self, end: socket.socket) -> None:
        other = self._peer.pop(end, None)
        if other is None:
            return
        del self._peer[other]
        for each in (end, other):
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.close()
