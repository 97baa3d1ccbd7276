"""AMD's compiler, whose code objects the stand-in runtime can run."""

from __future__ import annotations

import os
import struct
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from hipopt.device.amd.compiler import AmdCodeObject, AmdCompiler
from hipopt.device.cpu.device import CpuDevice
from hipopt.device.interface import CompileFailure
from hipopt.source.capsule import Capsule
from tests.standin_gpu.standin import table


class StandInCompiler(AmdCompiler):
    """Real code objects for the arch, each with the emulator's program for it right behind it."""

    def __init__(self, cache_dir: Path, arch: str, **options: Any) -> None:
        super().__init__(cache_dir, arch, **options)
        self._programs = cache_dir / "standin"
        self._options = options
        self._cache_root = cache_dir

    @cached_property
    def emulator(self) -> CpuDevice:
        """What the programs come from."""
        return CpuDevice(self._cache_root, **self._options)

    def compile(
        self, capsule: Capsule, template: tuple[str, ...], timeout_s: float
    ) -> AmdCodeObject | CompileFailure:
        """As `AmdCompiler.compile`."""
        code = super().compile(capsule, template, timeout_s)
        program = self.emulator.compile(capsule, template, timeout_s)
        if isinstance(code, CompileFailure):
            return code
        assert not isinstance(program, CompileFailure), program.output
        path = self._programs / code.sha256
        if not path.exists():
            image = code.path.read_bytes()
            assert len(image) == _end(image)
            self._programs.mkdir(exist_ok=True)
            fresh = path.with_suffix(f".{os.getpid()}")
            fresh.write_bytes(image + program.path.read_bytes() + table(code.layout))
            fresh.replace(path)
        return replace(code, path=path)


def _end(image: bytes) -> int:
    """Where an ELF file ends by its section headers, which is where the stand-in looks on."""
    (at,) = struct.unpack_from("<Q", image, 40)
    size, count = struct.unpack_from("<HH", image, 58)
    return int(at + size * count)
