"""Hosts on one machine: network namespaces, each with a cable of its own to the head's."""

from __future__ import annotations

import os
import shutil
import subprocess
from types import TracebackType
from typing import Self

import pytest


class Hosts:
    """A head and nodes around it, as a context manager. Processes in them must end before it does.

    Skips the test where this machine, or this user, can't make namespaces.
    """

    def __init__(self, nodes: int) -> None:
        if shutil.which("ip") is None:
            pytest.skip("hosts need iproute2 (Debian: apt install iproute2)")
        self._tag = f"h{os.getpid() % 100_000}"
        self._names = [f"hipopt-{self._tag}-{number}" for number in range(nodes + 1)]

    def __enter__(self) -> Self:
        try:
            for number, name in enumerate(self._names):
                _ip("netns", "add", name)
                _ip("-n", name, "link", "set", "lo", "up")
                if number:
                    self._plug_in(number, name)
        except subprocess.CalledProcessError as error:
            self.__exit__(None, None, None)
            pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        for name in self._names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def on(self, host: int) -> list[str]:
        """What to put before a command to run it on a host; 0 is the head."""
        return ["ip", "netns", "exec", self._names[host]]

    def head_address(self, node: int) -> str:
        """The head's address as that node sees it."""
        return f"10.213.{node}.1"

    def cut(self, node: int) -> None:
        """Nothing gets through between the head and that node; neither is told."""
        _ip("-n", self._names[0], "link", "set", self._cable(node), "down")

    def mend(self, node: int) -> None:
        """All gets through again."""
        _ip("-n", self._names[0], "link", "set", self._cable(node), "up")

    def _cable(self, node: int) -> str:
        return f"{self._tag}n{node}"

    def _plug_in(self, node: int, name: str) -> None:
        ours, theirs = self._cable(node), f"{self._tag}p{node}"
        head = self._names[0]
        _ip("-n", head, "link", "add", ours, "type", "veth", "peer", "name", theirs)
        _ip("-n", head, "link", "set", theirs, "netns", name)
        _ip("-n", head, "addr", "add", f"{self.head_address(node)}/24", "dev", ours)
        _ip("-n", head, "link", "set", ours, "up")
        _ip("-n", name, "addr", "add", f"10.213.{node}.2/24", "dev", theirs)
        _ip("-n", name, "link", "set", theirs, "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)
