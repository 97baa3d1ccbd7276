"""The CPU device: runs HIP kernels on a machine that has no GPU.

It proves what a kernel computes; its times are CPU time of an emulator and say nothing about a
GPU. A candidate's code runs in a child process under a system call filter, never in this one.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from hipopt.device.codecache import note_use
from hipopt.device.confine.confinement import Confinement
from hipopt.device.cpu.compiler import compile_capsule
from hipopt.device.cpu.cores import Cores
from hipopt.device.cpu.microscope import CpuMicroscopeSession
from hipopt.device.cpu.session import CpuSession
from hipopt.device.cpu.toolchain import Toolchain, confine, find_compiler, prepare
from hipopt.device.cpu.walls import Walls
from hipopt.device.interface import CodeObject, CompileFailure, DeviceDescription, Fault, Reach
from hipopt.errors import DeviceError
from hipopt.source.capsule import Capsule

_MACHINES = {"x86_64", "aarch64"}

PEAK_BANDWIDTH_GB_S = 400.0
"""Beyond what one core can store, caches included: 64 bytes a cycle, the widest store path that
vendors' optimisation guides give (AMD Zen 5: one store of 512 bits, or two of 256, a cycle; Intel
Golden Cove the same), at 6.2 GHz, the highest boost clock sold (Intel Core i9-14900KS)."""

_EMPTY = "__global__ void hipopt_probe(int* x) { *x = 1; }"


class CpuDevice:
    """Implements `interface.Device`; compiled kernels are kept under `cache_dir`.

    Processes that name the same `slots_dir` share this node's cores, see `cores.Cores`.
    Where the machine offers no sandbox at all, it works only if `allow_unsandboxed`.

    Raises:
        DeviceError: this machine is no Linux on x86-64 or aarch64.
    """

    def __init__(
        self, cache_dir: Path, *, allow_unsandboxed: bool = False, slots_dir: Path | None = None
    ) -> None:
        if platform.system() != "Linux" or platform.machine() not in _MACHINES:
            raise DeviceError(
                "the CPU device runs on Linux on x86-64 or aarch64, this is "
                f"{platform.system()} on {platform.machine()}"
            )
        self._cache_dir = cache_dir.expanduser().resolve() / "cpu"
        self._allow_unsandboxed = allow_unsandboxed
        self._cores = Cores(slots_dir)

    @cached_property
    def toolchain(self) -> Toolchain:
        """The C++ compiler with the emulator's runtime; built on first use.

        Raises:
            DeviceError: there is no compiler, it does not work, or there is no sandbox for it.
        """
        return prepare(self._cache_dir, find_compiler(os.environ), self.confinement)

    @cached_property
    def confinement(self) -> Confinement:
        """What compilers are closed in with on this machine, tried on first use.

        Raises:
            DeviceError: there is no compiler, or no sandbox for it.
        """
        return confine(
            self._cache_dir,
            find_compiler(os.environ),
            allow_unsandboxed=self._allow_unsandboxed,
        )

    def describe(self) -> DeviceDescription:
        """What this device is.

        Raises:
            DeviceError: there is no compiler, or it does not work.
        """
        return DeviceDescription(
            kind="cpu",
            name=f"emulator on {_processor()}",
            arch=platform.machine(),
            wave_size=64,
            toolchain=self.toolchain.version,
            emulated=True,
            peak_bandwidth_gb_s=PEAK_BANDWIDTH_GB_S,
        )

    def compile(
        self, capsule: Capsule, template: tuple[str, ...], timeout_s: float
    ) -> CodeObject | CompileFailure:
        """The capsule's kernel compiled, from the cache where it was compiled before.

        Raises:
            DeviceError: there is no compiler, or it does not work.
        """
        return self._compile(self.toolchain, capsule, template, timeout_s)

    @cached_property
    def microscope(self) -> Toolchain:
        """The C++ compiler with the instrumented runtime; built on first use.

        Raises:
            DeviceError: the compiler can't instrument; says why.
        """
        return prepare(
            self._cache_dir, find_compiler(os.environ), self.confinement, instrumented=True
        )

    def compile_instrumented(
        self, capsule: Capsule, template: tuple[str, ...], timeout_s: float
    ) -> CodeObject | CompileFailure:
        """The capsule's kernel compiled for the microscope; see `interface.Microscope`.

        Raises:
            DeviceError: this machine's compiler can't instrument; see `microscope_trouble`.
        """
        return self._compile(self.microscope, capsule, template, timeout_s)

    def _compile(
        self, toolchain: Toolchain, capsule: Capsule, template: tuple[str, ...], timeout_s: float
    ) -> CodeObject | CompileFailure:
        core = self._cores.for_a_compiler()
        return compile_capsule(toolchain, self._cache_dir, capsule, template, timeout_s, core)

    def open_instrumented(self, code: CodeObject) -> CpuMicroscopeSession:
        """A fresh child process that will run instrumented `code`, on the core held."""
        note_use(code.path)
        return CpuMicroscopeSession(
            code, self._cores.held, allow_unsandboxed=self._allow_unsandboxed
        )

    @cached_property
    def microscope_trouble(self) -> str | None:
        """Why kernels can't be looked into with this machine's compiler; None where they can."""
        try:
            code = self.compile_instrumented(_probe(), (), timeout_s=60.0)
        except DeviceError as error:
            return str(error)
        if isinstance(code, CompileFailure):
            return code.output
        with self.open_instrumented(code) as session:
            failure = session.load((1, 1, 1), (1, 1, 1), 0, [np.zeros(1, np.int32)])
            launched = failure or session.launch(10.0)
            if isinstance(launched, Fault):
                return launched.reason
            if session.observe().reaches != (Reach(read=None, written=(0, 4)),):
                return "the instrumented trial kernel shows nothing of what it does"
        return None

    def open(self, code: CodeObject) -> CpuSession:
        """A fresh child process that will run `code`, and nothing else, on the core held."""
        note_use(code.path)
        return CpuSession(code, self._cores.held, allow_unsandboxed=self._allow_unsandboxed)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold one core of this node alone; waits for it. All workers of a user share the cores.

        Sessions opened meanwhile run on that core: two cores, one with a busy neighbour, can differ
        twofold in CPU time, which would pass for a speedup.
        """
        with self._cores.for_kernels():
            yield

    def try_walls(self) -> Walls:
        """What closes kernels in here, as a trial launch shows.

        Raises:
            DeviceError: the trial kernel does not compile or run.
        """
        code = self.compile(_probe(), (), timeout_s=60.0)
        if isinstance(code, CompileFailure):
            raise DeviceError(f"the CPU device's trial kernel does not compile: {code.output}")
        with self.open(code) as session:
            fault = session.load((1, 1, 1), (1, 1, 1), 0, [np.zeros(1, np.int32)])
            if fault is not None:
                raise DeviceError(f"the CPU device's trial kernel fails: {fault.reason}")
            if session.walls is None:
                raise DeviceError("the CPU device's trial kernel never started")
            return session.walls


def _probe() -> Capsule:
    """A kernel that writes one integer."""
    return Capsule(source=_EMPTY, kernel="hipopt_probe", parameters=(), kernel_text=_EMPTY)


def _processor() -> str:
    """The CPU's model as the system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
