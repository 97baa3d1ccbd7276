"""The GPUs of this node: one holder at a time on each, whichever worker it belongs to.

Guarantee: while a kernel is checked and timed, nothing else of hipopt's runs on its GPU, and no GPU
is given out that is out of service or that this process has not seen pass the known-good kernel.
Scope: one user's processes on one node; others' work on the GPU is not kept off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hipopt.device.codecache import note_use
from hipopt.device.gpu.gpu import Gpu, GpuCode, Tools
from hipopt.device.gpu.health import PATIENCE_S, Health
from hipopt.device.gpu.service import Service
from hipopt.device.gpu.session import GpuSession
from hipopt.device.interface import CodeObject
from hipopt.device.slots import hold_slot
from hipopt.errors import DeviceError

_BUSY = -1
"""Stands for a GPU that another process holds."""


class Gpus:
    """Everything that a GPU device is but its compiler. All of them have one arch.

    Args:
        gpus: those that this worker may use.
        directory: of the node's slots.
        tools: our own kernels for them; asked for on first use.
        patience_s: how long a GPU may fail the known-good kernel before it is out of service.

    Raises:
        DeviceError: there are none, or of several archs.
    """

    def __init__(
        self, gpus: Sequence[Gpu], directory: Path, tools: Callable[[], Tools],
        patience_s: float = PATIENCE_S,
    ) -> None:  # fmt: skip
        archs = sorted({gpu.arch for gpu in gpus})
        if len(archs) != 1:
            found = " and ".join(archs) or "no GPU"
            raise DeviceError(
                f"one device has GPUs of one arch, here is {found}: start a worker for each arch, "
                "with ROCR_VISIBLE_DEVICES naming its GPUs"
            )
        self.held: Gpu | None = None
        """The GPU that is held; None: none is."""
        self._gpus = {gpu.unit: gpu for gpu in gpus}
        self._directory = directory
        self._service = Service(directory)
        self._tools = tools
        self._patience_s = patience_s
        self._healths: dict[int, Health] = {}
        self._suspects: set[int] = set()

    @property
    def troubles(self) -> int:
        """How often they failed, as far as this process saw, where no kernel had a part in it."""
        return sum(health.troubles for health in self._healths.values())

    def examine(self) -> dict[Gpu, str | None]:
        """Why each GPU fails the known-good kernel; None: it passes, or somebody else holds it.

        Those that fail are out of service now, those that pass are in service.
        """
        self._tools()
        return {gpu: self._tried(gpu) for gpu in self._gpus.values()}

    def _tried(self, gpu: Gpu) -> str | None:
        with hold_slot(self._directory, [gpu.unit], otherwise=_BUSY) as unit:
            if unit == _BUSY:
                return None
            try:
                self._health(gpu).insist("a person's question")
            except DeviceError as error:
                absence = self._service.absence(gpu.unit)
                return absence.reason if absence else str(error)
            return None

    def open(self, code: CodeObject) -> GpuSession:
        """A session on the GPU held.

        Raises:
            DeviceError: none is held, or the code object is not for GPUs.
        """
        if self.held is None or not isinstance(code, GpuCode):
            raise DeviceError("a session needs a GPU that is held, and a code object made for GPUs")
        tools = self._tools()
        for each in (code, tools.known_good, tools.scrub):
            note_use(each.path)
        return GpuSession(self.held, code, self._health(self.held), tools.scrub)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """`held` is this process's alone, and well; waits for one. Within itself: no change.

        Raises:
            DeviceError: no GPU is in service.
        """
        if self.held is not None:
            yield
            return
        self._tools()  # they may have to be compiled: no GPU is held while that waits for a core
        with self._hold() as gpu:
            self.held = gpu
            try:
                yield
            finally:
                self.held = None

    @contextmanager
    def _hold(self) -> Iterator[Gpu]:
        while True:
            with hold_slot(self._directory, self._in_service()) as unit:
                if self._is_well(unit):
                    yield self._gpus[unit]
                    return

    def _in_service(self) -> list[int]:
        """Units of GPUs that may be used, or tried again.

        Raises:
            DeviceError: there are none.
        """
        absences = {unit: self._service.absence(unit) for unit in self._gpus}
        units = [u for u, out in absences.items() if out is None or self._service.is_due(out)]
        if not units:
            reasons = "; ".join(f"{out.gpu}: {out.reason}" for out in absences.values() if out)
            raise DeviceError(f"no GPU of this node is in service: {reasons}")
        return units

    def _is_well(self, unit: int) -> bool:
        """Whether the GPU just got can be used; where it can't, it is out of service now."""
        absence = self._service.absence(unit)
        if absence is None and unit in self._healths and unit not in self._suspects:
            return True
        if absence is not None and not self._service.is_due(absence):
            return False  # another worker took it out while this one waited
        try:
            self._health(self._gpus[unit]).insist("a look before its first use")
        except DeviceError:
            self._suspects.add(unit)
            return False
        self._suspects.discard(unit)
        return True

    def _health(self, gpu: Gpu) -> Health:
        if gpu.unit not in self._healths:
            self._healths[gpu.unit] = Health(gpu, self._tools(), self._service, self._patience_s)
        return self._healths[gpu.unit]
