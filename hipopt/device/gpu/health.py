"""Whether a GPU may be used: before its first use, and after every fault on it.

Guarantee: `insist` returns only after the known-good kernel has passed, with the right results and
a clock that agrees with ours. Where it doesn't pass within the patience that a driver's reset
takes, the GPU is out of service for all workers of the node and `DeviceError` is raised.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from contextlib import closing

from hipopt.device.gpu import clock, telemetry
from hipopt.device.gpu.attempt import Stopped
from hipopt.device.gpu.gpu import Gpu, Tools
from hipopt.device.gpu.knowngood import KnownGood, Wrong
from hipopt.device.gpu.service import Service
from hipopt.errors import DeviceError

log = logging.getLogger(__name__)

PATIENCE_S = 30.0
"""How long a GPU may fail after a fault: a driver's reset takes seconds."""
_FIRST_PAUSE_S = 0.25
HABIT = 3
HABIT_SHARE = 0.02
"""A code object that as often, and in that share of its launches, had faults that did not show
again has them for a habit."""
_BUSY_PERCENT = 10.0
_OTHERS_BYTES = 4 << 30
"""More than a runtime and a driver take for themselves."""


class Health:
    """Of one GPU, as this process has seen it.

    Args:
        gpu: held by the caller whenever it is asked after.
        tools: our own kernels for it.
        service: where it is taken out.
        patience_s: how long it may fail.
    """

    def __init__(
        self, gpu: Gpu, tools: Tools, service: Service, patience_s: float = PATIENCE_S
    ) -> None:
        self._gpu = gpu
        self._tools = tools
        self._service = service
        self._patience_s = patience_s
        self._others_bytes = 0
        self.troubles = 0
        """How often this GPU failed in ways that no kernel has a part in."""
        self._launches: Counter[str] = Counter()
        self._unconfirmed: Counter[str] = Counter()

    def insist(self, occasion: str) -> None:
        """The GPU does what it should, and is in service.

        Raises:
            DeviceError: it doesn't, and is out of service.
        """
        busy_percent = telemetry.look(self._gpu).busy_percent
        trouble = self._trouble()
        if trouble is None:
            self.note_others(busy_percent, self._others_bytes)
            self._service.put_back(self._gpu.unit)
            return
        self._service.take_out(self._gpu.unit, str(self._gpu), trouble)
        log.error(
            "gpu.out_of_service",
            extra={"gpu": str(self._gpu), "reason": trouble, "occasion": occasion},
        )
        raise DeviceError(
            f"{self._gpu} is out of service: the known-good kernel fails: {trouble} "
            f"(after: {occasion}). No kernel is blamed; it is tried again in 10 minutes, or at "
            f"once when {self._service.path(self._gpu.unit)} is removed"
        )

    def note_others(self, busy_percent: float | None, others_bytes: int) -> bool:
        """Whether somebody else seems to use the GPU, which is logged: times are not ours alone."""
        busy = busy_percent is not None and busy_percent > _BUSY_PERCENT
        if not busy and others_bytes <= _OTHERS_BYTES:
            return False
        log.warning(
            "gpu.shared",
            extra={"gpu": str(self._gpu), "busy_percent": busy_percent,
                   "others_bytes": others_bytes},
        )  # fmt: skip
        return True

    def note_launch(self, sha256: str) -> None:
        """A launch of this code object ended well."""
        self._launches[sha256] += 1

    def note_unconfirmed(self, sha256: str, stopped: Stopped, *, counts: bool) -> bool:
        """A fault did not show again: the GPU's, unless it is this code object's habit (True).

        Only what `counts` may become one.
        """
        log.warning(
            "gpu.fault_unconfirmed", extra={"gpu": str(self._gpu), "what": stopped.describe()}
        )
        if not counts:
            return False
        self._unconfirmed[sha256] += 1
        found = self._unconfirmed[sha256]
        return found >= HABIT and found >= HABIT_SHARE * self._launches[sha256]

    def _trouble(self) -> str | None:
        """Why the GPU fails to the end of its patience; None: it passes."""
        give_up_at = time.monotonic() + self._patience_s
        pause_s = _FIRST_PAUSE_S
        while True:
            trouble = self._look()
            self.troubles += trouble is not None
            if trouble is None or time.monotonic() + pause_s > give_up_at:
                return trouble
            time.sleep(pause_s)
            pause_s *= 2

    def _look(self) -> str | None:
        """Why the GPU can't be trusted, as seen in one fresh child; None: it can."""
        try:
            with closing(KnownGood(self._gpu, self._tools)) as good:
                self._others_bytes = good.others_bytes
                good.check()
                ratio = clock.calibrate(good)
        except Stopped as stopped:
            return stopped.describe()
        except Wrong as wrong:
            return str(wrong)
        if clock.agree(ratio):
            return None
        return f"its clock shows {ratio:.2f} s for each second of ours"
