"""The stand-in runtime as tests use it: built once, its faults on command, kernels made for it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hipopt.device.cpu.device import CpuDevice
from hipopt.device.gpu.detect import unit_of
from hipopt.device.gpu.gpu import ArgumentSlot, Gpu, GpuCode
from hipopt.device.interface import CodeObject, CompileFailure
from hipopt.source.capsule import Capsule

SOURCES = Path(__file__).parent
ARCH = "gfx942"
BUS_ID = "0000:c1:00.0"


def build(directory: Path) -> Path:
    """The stand-in's library, made with the system's C++ compiler."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise FileNotFoundError("no g++ and no clang++ to build the stand-in runtime with")
    library = directory / "libstandin.so"
    sources = sorted(str(path) for path in SOURCES.glob("*.cpp"))
    command = [compiler, "-std=c++17", "-O1", "-fPIC", "-shared", *sources, "-o", str(library)]
    subprocess.run(command, check=True)
    return library


class StandIn:
    """One stand-in GPU with a fault folder of its own.

    Args:
        library: as `build` made it; copied, so that no test disturbs another.
        directory: for that copy and for code objects.
        emulator: compiles kernels.
        gpus: arch and place on the bus of each.
        name: of the copy.
    """

    def __init__(
        self, library: Path, directory: Path, emulator: CpuDevice,
        gpus: Sequence[tuple[str, str]] = ((ARCH, BUS_ID),), name: str = "libstandin.so",
    ) -> None:  # fmt: skip
        directory.mkdir(exist_ok=True, parents=True)
        self.library = directory / name
        shutil.copy(library, self.library)
        self._faults = Path(f"{self.library}.faults")
        self._faults.mkdir()
        Path(f"{self.library}.gpus").write_text("".join(f"{a} {b}\n" for a, b in gpus))
        self._directory = directory
        self.emulator = emulator
        self._count = 0
        self.gpu = Gpu(
            kind="amd", library=self.library, token="0", unit=unit_of(gpus[0][1]),
            name="Stand-in Instinct", arch=gpus[0][0], memory_bytes=32 << 30, wave_size=64,
            compute_units=1, lds_bytes=64 << 10, bus_id=gpus[0][1],
        )  # fmt: skip

    def fault(
        self, call: str, action: str, argument: float = 0, probability: float = 1.0, *,
        once: bool = True,
    ) -> None:  # fmt: skip
        """The next call of that name (every one unless `once`) meets this fault; see faults.hpp."""
        self._count += 1
        name = f"{'once' if once else 'always'}-{self._count:03}"
        fresh = self._faults / f".{name}"
        fresh.write_text(f"{call} {action} {argument} {probability}\n")
        fresh.rename(self._faults / name)

    def heal(self) -> None:
        """No fault is left."""
        for path in self._faults.iterdir():
            path.unlink()

    @property
    def faults_left(self) -> int:
        """How many have not happened, or last."""
        return len(list(self._faults.iterdir()))

    def code(self, source: str, kernel: str = "k") -> GpuCode:
        """The source compiled for the stand-in."""
        text = f"#include <hip/hip_runtime.h>\n{source}"
        made = self.compile(
            Capsule(source=text, kernel=kernel, parameters=(), kernel_text=source), (), 60.0
        )
        assert isinstance(made, GpuCode), made
        return made

    def compile(
        self, capsule: Capsule, template: tuple[str, ...], timeout_s: float
    ) -> GpuCode | CompileFailure:
        """As `Device.compile`: the emulator's program with a table of its arguments behind it."""
        compiled = self.emulator.compile(capsule, template, timeout_s)
        if isinstance(compiled, CompileFailure):
            return compiled
        layout = _layout(compiled)
        path = self._directory / f"{compiled.sha256}.image"
        if not path.exists():
            path.write_bytes(compiled.path.read_bytes() + table(layout))
        fields: dict[str, Any] = {
            name: getattr(compiled, name) for name in CodeObject.__struct_fields__
        }
        return GpuCode(**fields | {"path": path}, kernel=capsule.kernel, layout=layout)

    @property
    def version(self) -> str:
        """As `Compiler.version`."""
        return self.emulator.toolchain.version


def _layout(code: CodeObject) -> tuple[ArgumentSlot, ...]:
    """Every argument at a multiple of its size, as compilers for GPUs lay them out."""
    slots: list[ArgumentSlot] = []
    at = 0
    for parameter in code.parameters:
        at = -(-at // min(parameter.size, 16)) * min(parameter.size, 16)
        slots.append(ArgumentSlot(offset=at, size=parameter.size))
        at += parameter.size
    return tuple(slots)


def table(layout: tuple[ArgumentSlot, ...]) -> bytes:
    pairs = b"".join(struct.pack("<II", slot.offset, slot.size) for slot in layout)
    return b"STANDIN1" + struct.pack("<I", len(layout)) + pairs
