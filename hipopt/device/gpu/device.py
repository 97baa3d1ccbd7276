"""A GPU device: a vendor's compiler, and the runner."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Protocol

from hipopt.device.gpu import knowngood, scrub
from hipopt.device.gpu.gpu import Gpu, GpuCode, Tools
from hipopt.device.gpu.gpus import Gpus
from hipopt.device.gpu.health import PATIENCE_S
from hipopt.device.gpu.session import GpuSession
from hipopt.device.interface import CodeObject, CompileFailure, DeviceDescription
from hipopt.errors import DeviceError
from hipopt.source.capsule import Capsule

COMPILE_TIMEOUT_S = 120.0
"""Of each of our own kernels, once a cache."""


class Compiler(Protocol):
    """Makes code objects for one arch."""

    @property
    def version(self) -> str:
        """As it names itself."""

    def compile(
        self, capsule: Capsule, template: tuple[str, ...], timeout_s: float
    ) -> GpuCode | CompileFailure:
        """As `interface.Device.compile`."""


class GpuDevice:
    """Implements `interface.Device` on GPUs of one arch.

    Args:
        gpus: those that this worker may use.
        compiler: makes code objects for their arch.
        slots: directory of the node's slots.
        patience_s: how long a GPU may fail the known-good kernel before it is out of service.

    Raises:
        DeviceError: there are no GPUs, or they are of several archs.
    """

    def __init__(
        self, gpus: Sequence[Gpu], compiler: Compiler, slots: Path, patience_s: float = PATIENCE_S
    ) -> None:
        self._compiler = compiler
        self._gpus = Gpus(gpus, slots, cache(self._tools), patience_s)
        self._any = gpus[0]

    def describe(self) -> DeviceDescription:
        """What the GPUs are; all have one arch."""
        return DeviceDescription(
            kind=self._any.kind,
            name=self._any.name,
            arch=self._any.arch,
            wave_size=self._any.wave_size,
            toolchain=self._compiler.version,
            emulated=False,
            peak_bandwidth_gb_s=self._any.peak_bandwidth_gb_s,
        )

    def compile(
        self, capsule: Capsule, template: tuple[str, ...], timeout_s: float
    ) -> CodeObject | CompileFailure:
        """The capsule's kernel compiled; see `interface.Device`."""
        return self._compiler.compile(capsule, template, timeout_s)

    def open(self, code: CodeObject) -> GpuSession:
        """A session of `code` on the GPU that is held.

        Raises:
            DeviceError: none is held.
        """
        return self._gpus.open(code)

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold one GPU alone; waits for it.

        Raises:
            DeviceError: none is in service.
        """
        return self._gpus.exclusive()

    def examine(self) -> dict[Gpu, str | None]:
        """Why each GPU fails; see `Gpus.examine`."""
        return self._gpus.examine()

    @property
    def troubles(self) -> int:
        """See `Gpus.troubles`."""
        return self._gpus.troubles

    def _tools(self) -> Tools:
        return Tools(known_good=self._own(knowngood.capsule()), scrub=self._own(scrub.capsule()))

    def _own(self, capsule: Capsule) -> GpuCode:
        made = self._compiler.compile(capsule, (), COMPILE_TIMEOUT_S)
        if isinstance(made, CompileFailure):
            raise DeviceError(f"hipopt's own {capsule.kernel} does not compile: {made.output}")
        return made
