"""From a capsule to a cubin, by nvcc and a header that says HIP's device side in CUDA's words.

For a proof and not for judging in earnest: nvcc runs without a sandbox, so compile only what you
trust, or the exploit museum's sources, which try nothing on a compiler of NVIDIA's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from elftools.elf.elffile import ELFFile

from hipopt.device.gpu.gpu import ArgumentSlot, GpuCode
from hipopt.device.interface import CompileFailure, Parameter
from hipopt.errors import DeviceError
from hipopt.records import Resources, Verdict
from hipopt.source.capsule import Capsule
from hipopt.source.constants import with_constants

HEADERS = Path(__file__).parent
_FLAGS = ("-x", "cu", "-std=c++17", "-O3", "-cubin", "-w")
_OUTPUT_CHARACTERS = 4000
_SIZED = 4
"""Format of an attribute in `.nv.info` that has a payload."""
_PARAMETER = 0x17
_SIZE_SHIFT = 18


class NvidiaCompiler:
    """Implements `gpu.device.Compiler` for one arch.

    Args:
        cache_dir: keeps the cubins.
        arch: e.g. `sm_90`.

    Raises:
        DeviceError: there is no nvcc on PATH.
    """

    def __init__(self, cache_dir: Path, arch: str) -> None:
        found = shutil.which("nvcc")
        if found is None:
            raise DeviceError("no nvcc on PATH: install NVIDIA's CUDA toolkit")
        self._nvcc = found
        self._arch = arch
        self._cache_dir = cache_dir.expanduser() / "nvidia"
        self._cache_dir.mkdir(parents=True, exist_ok=True)

    @property
    def version(self) -> str:
        """As nvcc names itself."""
        done = subprocess.run([self._nvcc, "--version"], capture_output=True, text=True, check=True)
        return done.stdout.strip().splitlines()[-1]

    def compile(
        self, capsule: Capsule, template: tuple[str, ...], timeout_s: float
    ) -> GpuCode | CompileFailure:
        """As `interface.Device.compile`."""
        text = unit_text(capsule, template)
        key = hashlib.sha256(f"{self.version}\0{self._arch}\0{_FLAGS}\0{text}".encode()).hexdigest()
        path = self._cache_dir / f"{key}.cubin"
        began = time.monotonic()
        if not path.exists():
            failure = self._build(text, path, timeout_s)
            if failure is not None:
                return failure
        return _code(path, key, capsule, time.monotonic() - began)

    def _build(self, text: str, path: Path, timeout_s: float) -> CompileFailure | None:
        with tempfile.TemporaryDirectory(dir=self._cache_dir) as name:
            unit, made = Path(name) / "kernel.cu", Path(name) / "kernel.cubin"
            unit.write_text(text)
            command = [
                self._nvcc, *_FLAGS, f"-arch={self._arch}", "-I", str(HEADERS), str(unit),
                "-o", str(made),
            ]  # fmt: skip
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=timeout_s, check=False
                )
            except subprocess.TimeoutExpired:
                return CompileFailure(verdict=Verdict.TIMEOUT, output="nvcc took too long")
            if done.returncode != 0:
                output = done.stderr.replace(f"{name}{os.sep}", "")[:_OUTPUT_CHARACTERS]
                return CompileFailure(verdict=Verdict.COMPILE_ERROR, output=output)
            made.replace(path)
        return None


def unit_text(capsule: Capsule, template: tuple[str, ...]) -> str:
    """The translation unit: the capsule, and a use of its kernel with those template arguments."""
    arguments = f"<{', '.join(template)}>" if template else ""
    use = f"static const auto hipopt_entry = &::{capsule.kernel.removeprefix('::')}{arguments};\n"
    return with_constants(capsule.source) + "\n" + (use if template else "")


def _code(path: Path, key: str, capsule: Capsule, seconds: float) -> GpuCode | CompileFailure:
    with path.open("rb") as file:
        elf = ELFFile(file)
        kernels = {
            section.name.removeprefix(".nv.info."): tuple(sorted(_slots(section.data())))
            for section in elf.iter_sections()
            if section.name.startswith(".nv.info.")
        }
    plain = capsule.kernel.rpartition("::")[2]
    named = [name for name in kernels if f"{len(plain)}{plain}" in name or name == plain]
    if len(named) != 1:
        output = f"the cubin holds {len(named)} kernels named {plain}, expected one"
        return CompileFailure(verdict=Verdict.COMPILE_ERROR, output=output)
    slots = tuple(ArgumentSlot(offset=offset, size=size) for _, offset, size in kernels[named[0]])
    return GpuCode(
        path=path,
        sha256=key,
        parameters=_parameters(slots, capsule),
        resources=Resources(),
        compile_seconds=seconds,
        kernel=named[0],
        layout=slots,
    )


def _slots(info: bytes) -> Iterator[tuple[int, int, int]]:
    """Number, offset and size of each argument, by the kernel's `.nv.info`."""
    at = 0
    while at < len(info):
        kind, attribute, size = struct.unpack_from("<BBH", info, at)
        at += 4
        if kind != _SIZED:
            continue
        if attribute == _PARAMETER:
            _, number, offset, flags = struct.unpack_from("<IHHI", info, at)
            yield number, offset, flags >> _SIZE_SHIFT
        at += size


def _parameters(slots: tuple[ArgumentSlot, ...], capsule: Capsule) -> tuple[Parameter, ...]:
    """What a cubin doesn't tell, which of them are pointers, is the source's word."""
    if len(slots) != len(capsule.parameters):
        return tuple(Parameter(is_pointer=False, size=slot.size) for slot in slots)
    return tuple(
        Parameter(is_pointer=declared.is_pointer, size=slot.size, name=declared.name)
        for slot, declared in zip(slots, capsule.parameters, strict=True)
    )
