"""One child with one code object on one GPU, up to its first trouble.

Every wait has a deadline, and every trouble ends in `Stopped`, which says at what stage it was;
whether the kernel or the GPU is to blame is for others to find out.
"""

from __future__ import annotations

import base64
import secrets
import time
from typing import Any, Literal, NamedTuple

from hipopt.device.gpu import scrub
from hipopt.device.gpu.channel import Channel, Ended
from hipopt.device.gpu.environment import child_environ
from hipopt.device.gpu.gpu import Gpu, GpuCode
from hipopt.device.gpu.memory import Arena, Damage

Stage = Literal["start", "open", "load", "arm", "launch", "read", "zones", "clock"]
Dim = tuple[int, int, int]

START_TIMEOUT_S = 60.0
"""Longest wait for a runtime to come up: seconds on a node with many GPUs."""
STEP_TIMEOUT_S = 30.0
"""Longest wait for anything else that is not the kernel."""
_PAD_BYTES = 64 << 20
"""Addresses of fresh sessions differ by up to as much."""

_CLOCK_SHARE = 1.05
_CLOCK_SLACK_US = 200.0
"""A kernel can't have taken longer than all of the launch, the clocks' granularity aside."""


class Stopped(Exception):
    """An attempt is over before its end.

    Attributes:
        stage: where it was.
        ended: how the child ended; None: it lives, but see `damage` and `reason`.
        damage: the red zone that was written to, at stage `zones`.
    """

    def __init__(
        self, stage: Stage, ended: Ended | None, *, damage: Damage | None = None, reason: str = ""
    ) -> None:
        super().__init__(stage)
        self.stage: Stage = stage
        self.ended = ended
        self.damage = damage
        self.reason = reason

    def describe(self) -> str:
        """What happened, as a clause."""
        if self.ended is not None:
            return f"at {self.stage}: {self.ended.describe()}"
        return self.reason or "memory beside a buffer was written"


class Took(NamedTuple):
    """How long a launch took."""

    device_us: float
    """Between the device's own time stamps."""
    wall_us: float
    """By the host's clock, from the call that starts it to its end."""


class Shape(NamedTuple):
    """A launch without its buffers' content."""

    grid: Dim
    block: Dim
    lds_bytes: int


class Attempt:
    """Use as `Attempt(gpu, code, scrubber)`, then `load`, `launch` and `read`; `close` it.

    Raises:
        Stopped: the child did not come up, or the device does not take the code object.
    """

    def __init__(self, gpu: Gpu, code: GpuCode, scrubber: GpuCode) -> None:
        self._channel = Channel(child_environ(gpu.pin()))
        try:
            request = _start_request(gpu, scrubber)
            started = self._ask("start", request, START_TIMEOUT_S)
            used = int(started["total_bytes"]) - int(started["free_bytes"])
            self.others_bytes = max(0, used - int(request["flush_bytes"]))
            """Memory on the GPU that is not this child's, its runtime's share included."""
            self._ask(
                "open",
                {"do": "open", "image": str(code.path), "kernel": code.kernel,
                 "keeps_state": code.keeps_state},
                STEP_TIMEOUT_S,
            )  # fmt: skip
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._channel.pid

    def close(self) -> None:
        """The child's process group is dead."""
        self._channel.close()

    def load(self, shape: Shape, arena: Arena) -> int:
        """The launch is laid out; the device's address of the arena's start."""
        request = {"do": "load", "bytes": arena.nbytes, **shape._asdict()}
        reply = self._ask("load", request, STEP_TIMEOUT_S, (arena.before_fd, arena.after_fd))
        return int(reply["address"])

    def launch(self, arguments: bytes, timeout_s: float) -> Took:
        """The kernel has run once, on the content loaded, with cold caches."""
        encoded = base64.b64encode(arguments).decode()
        sent_at = time.perf_counter()
        self._ask("arm", {"do": "launch", "arguments": encoded}, STEP_TIMEOUT_S)
        reply = self._receive("launch", timeout_s)
        all_us = (time.perf_counter() - sent_at) * 1e6
        took = Took(float(reply["device_us"]), float(reply["wall_us"]))
        if not 0 <= took.device_us <= min(took.wall_us * _CLOCK_SHARE + _CLOCK_SLACK_US, all_us):
            raise Stopped(
                "clock", None, reason=f"a launch that took {took.wall_us:.0f} us, {all_us:.0f} us "
                f"with all that belongs to it, took {took.device_us:.0f} us by the device's clock",
            )  # fmt: skip
        return took

    def read(self, arena: Arena) -> None:
        """The arena holds what the last launch left, its red zones unharmed."""
        self._ask("read", {"do": "read"}, STEP_TIMEOUT_S)
        damage = arena.damage()
        if damage is not None:
            raise Stopped("zones", None, damage=damage)

    def _ask(
        self, stage: Stage, request: dict[str, Any], timeout_s: float, fds: tuple[int, ...] = ()
    ) -> dict[str, Any]:
        try:
            self._channel.send(request, fds)
        except Ended as ended:
            raise Stopped(stage, ended) from None
        return self._receive(stage, timeout_s)

    def _receive(self, stage: Stage, timeout_s: float) -> dict[str, Any]:
        try:
            return self._channel.receive(time.monotonic() + timeout_s)
        except Ended as ended:
            raise Stopped(stage, ended) from None


def _start_request(gpu: Gpu, scrubber: GpuCode) -> dict[str, Any]:
    return {
        "do": "start",
        "kind": gpu.kind,
        "library": str(gpu.library),
        # what lies before the buffers moves them: no two sessions share addresses
        "flush_bytes": gpu.flush_bytes + secrets.randbelow(_PAD_BYTES),
        "scrub": scrub.request(gpu, scrubber),
    }
