"""From a capsule to an AMD code object, through a cache.

Device code only: no host pass, no torch headers. The compiler is closed in, has a deadline and a
limit on memory, and takes one core of the node. Nothing of the candidate runs.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from functools import cached_property
from pathlib import Path

import msgspec

from hipopt.device.amd.codeobject import (
    MARK,
    KernelCode,
    KernelLayout,
    UnreadableCode,
    read_code,
)
from hipopt.device.amd.diagnostics import shortened
from hipopt.device.amd.launch import refusal
from hipopt.device.amd.limits import limits_of
from hipopt.device.amd.occupancy import Demand, occupancy
from hipopt.device.amd.precompiled import precompiled
from hipopt.device.amd.signature import disagreement
from hipopt.device.amd.toolchain import (
    MEMORY_BYTES,
    Toolchain,
    check_arch,
    compiler_environ,
    find,
    prepare,
)
from hipopt.device.codecache import CodeCache
from hipopt.device.cpu.cores import Cores
from hipopt.device.entry import kernel_address
from hipopt.device.gpu.gpu import ArgumentSlot, GpuCode
from hipopt.device.interface import CompileFailure, Parameter
from hipopt.device.process import Completed
from hipopt.records import Resources, Verdict
from hipopt.source.capsule import Capsule
from hipopt.source.constants import with_constants

OUTPUT_CHARACTERS = 4000
"""Compiler output kept of a failure."""
_UNIT = "unit.hip"
_IMAGE = "kernel.co"
_RECORD = "code.json"


class AmdCodeObject(GpuCode, frozen=True, kw_only=True):
    """A kernel compiled for an AMD GPU.

    All of a loaded code object, constants and instructions included, lies in memory that a kernel
    can write: so all of them `keeps_state`, whatever variables they have.
    """

    arch: str
    code: KernelCode

    @property
    def image(self) -> bytes:
        """The ELF file, as a runtime loads it."""
        return self.path.read_bytes()

    def resources_at(self, threads: int, lds_bytes: int) -> Resources:
        """The resources with the occupancy of blocks of `threads` with so much dynamic LDS."""
        return resources_of(self.code, self.arch, threads, lds_bytes)

    def refusal(self, threads: int, lds_bytes: int) -> str | None:
        """Why blocks of `threads` with so much dynamic LDS can't be; None where they can."""
        return refusal(self.code, self.arch, threads, lds_bytes)


class AmdCompiler:
    """Compiles for one arch; code objects are kept under `cache_dir`, shared by all workers.

    Processes that name the same `slots_dir` share this node's cores, see `cores.Cores`.
    Where the machine offers no sandbox at all, it works only if `allow_unsandboxed`.

    Raises:
        UsageError: the arch is none that hipopt knows.
    """

    def __init__(
        self, cache_dir: Path, arch: str, *, allow_unsandboxed: bool = False,
        slots_dir: Path | None = None,
    ) -> None:  # fmt: skip
        self.arch = check_arch(arch)
        self._cache_dir = cache_dir.expanduser().resolve() / "amd"
        self._allow_unsandboxed = allow_unsandboxed
        self._cache = CodeCache(self._cache_dir / "code")
        self._cores = Cores(slots_dir)

    @cached_property
    def toolchain(self) -> Toolchain:
        """The compiler with headers and libraries; prepared on first use.

        Raises:
            DeviceError: there is none, it does not work, or there is no sandbox for it.
        """
        found = find(os.environ)
        return prepare(self._cache_dir, found, allow_unsandboxed=self._allow_unsandboxed)

    @cached_property
    def header(self) -> Path:
        """HIP's header precompiled for the arch; made on first use.

        Raises:
            DeviceError: the compiler does not know the arch, or does not work.
        """
        return precompiled(self.toolchain, self.arch)

    @property
    def version(self) -> str:
        """As `describe`."""
        return self.describe()

    def describe(self) -> str:
        """The toolchain in words, once it has shown that it can compile for the arch.

        Raises:
            DeviceError: it can't.
        """
        _ = self.header
        return self.toolchain.describe(self.arch)

    def compile(
        self, capsule: Capsule, template: tuple[str, ...], timeout_s: float
    ) -> AmdCodeObject | CompileFailure:
        """The capsule's kernel compiled, from the cache where it was compiled before.

        Raises:
            DeviceError: the compiler is missing or does not work.
        """
        text = unit_text(capsule, template)
        key = self._key(text)
        kept = self._kept(key, capsule)
        if kept is not None:
            return kept
        _ = self.header
        with self._cores.for_a_compiler(), self._scratch() as name:
            start = time.monotonic()
            made = Path(name) / "made"
            made.mkdir()
            failure = self._build(Path(name), capsule.source, text, start + timeout_s)
            if failure is not None:
                return failure
            code = self._read(made / _IMAGE)
            if isinstance(code, CompileFailure):
                return code
            (made / _RECORD).write_bytes(msgspec.json.encode(code))
            place = self._cache.publish(made, key)
        return self._code_object(place, key, code, capsule, time.monotonic() - start)

    def assembly(
        self, capsule: Capsule, template: tuple[str, ...], timeout_s: float
    ) -> str | CompileFailure:
        """The kernel's assembly; never cached.

        Raises:
            DeviceError: the compiler is missing or does not work.
        """
        text = unit_text(capsule, template)
        with self._cores.for_a_compiler(), self._scratch() as name:
            (Path(name) / "made").mkdir()
            deadline = time.monotonic() + timeout_s
            failure = self._build(Path(name), capsule.source, text, deadline, "-S")
            return failure or (Path(name) / "made" / _IMAGE).read_text()

    def _scratch(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(dir=self.toolchain.directory.parent, prefix="compile-")

    def _key(self, text: str) -> str:
        return hashlib.sha256(f"{self.toolchain.key}\0{self.arch}\0{text}".encode()).hexdigest()

    def _kept(self, key: str, capsule: Capsule) -> AmdCodeObject | None:
        place = self._cache.find(key)
        if place is None:
            return None
        try:
            code = msgspec.json.decode((place / _RECORD).read_bytes(), type=KernelCode)
        except FileNotFoundError:  # it has just been removed
            return None
        return self._code_object(place, key, code, capsule, 0.0)

    def _build(
        self, scratch: Path, source: str, text: str, deadline: float, *more: str
    ) -> CompileFailure | None:
        """The unit compiled to `made/kernel.co`; the failure where the source is to blame.

        A stale precompiled header would make any source fail, so only a run without it counts.
        """
        (scratch / _UNIT).write_text(text)
        (scratch / "kernel.hip").write_text(source)  # for the lines that errors quote
        done = self._run(scratch, deadline, "-include-pch", str(self.header), *more)
        if done.exit_code not in (0, None):
            done = self._run(scratch, deadline, *more)
        if done.exit_code == 0:
            return None
        return self._failure(done, scratch)

    def _run(self, scratch: Path, deadline: float, *arguments: str) -> Completed:
        return self.toolchain.confinement.run(
            self.toolchain.command(self.arch, *arguments, _UNIT, "-o", f"made/{_IMAGE}"),
            scratch=scratch,
            environ=compiler_environ(scratch),
            timeout_s=max(0.0, deadline - time.monotonic()),
            memory_bytes=MEMORY_BYTES,
            read=self.toolchain.readable,
        )

    def _failure(self, done: Completed, scratch: Path) -> CompileFailure:
        output = shortened(done.output, (str(scratch), str(self.toolchain.directory)))
        if done.exit_code is None:
            return CompileFailure(
                verdict=Verdict.TIMEOUT, output=f"the compiler was killed at its deadline\n{output}"
            )
        output = output or f"the compiler ended with exit code {done.exit_code}"
        return CompileFailure(verdict=Verdict.COMPILE_ERROR, output=output[:OUTPUT_CHARACTERS])

    def _read(self, path: Path) -> KernelCode | CompileFailure:
        try:
            code = read_code(path.read_bytes())
        except UnreadableCode as error:
            return CompileFailure(verdict=Verdict.COMPILE_ERROR, output=str(error))
        most = limits_of(self.arch).lds_block_bytes
        if code.lds_bytes > most:
            return CompileFailure(
                verdict=Verdict.COMPILE_ERROR,
                output=f"error: {code.lds_bytes} bytes of static LDS, {self.arch} has {most}",
            )
        return code

    def _code_object(
        self, place: Path, key: str, code: KernelCode, capsule: Capsule, seconds: float
    ) -> AmdCodeObject:
        odd = disagreement(code.layout, capsule.parameters)
        return AmdCodeObject(
            path=place / _IMAGE,
            sha256=key,
            parameters=_parameters(code.layout, capsule),
            resources=resources_of(code, self.arch, code.max_threads, 0),
            compile_seconds=seconds,
            objections=(odd,) if odd else (),
            kernel=code.symbol,
            layout=tuple(ArgumentSlot(offset=a.offset, size=a.size) for a in code.layout.arguments),
            arch=self.arch,
            code=code,
        )


def unit_text(capsule: Capsule, template: tuple[str, ...]) -> str:
    """The translation unit: the capsule, and an entry that marks its kernel."""
    address = kernel_address(capsule, template)
    return (
        f'#line 1 "kernel.hip"\n{with_constants(capsule.source)}\n#line 1 "entry"\n'
        f"__device__ __attribute__((used)) const void* const {MARK} = "
        f"reinterpret_cast<const void*>({address});\n"
    )


def resources_of(code: KernelCode, arch: str, threads: int, lds_bytes: int) -> Resources:
    """What the kernel needs, with the occupancy of such blocks."""
    demand = Demand(
        wave_size=code.wave_size,
        vgprs=code.vgprs,
        sgprs=code.sgprs,
        lds_bytes=code.lds_bytes + lds_bytes,
        threads=threads,
    )
    found = occupancy(limits_of(arch), demand)
    return Resources(
        lds_bytes=code.lds_bytes,
        vgprs=code.vgprs,
        agprs=code.agprs,
        sgprs=code.sgprs,
        scratch_bytes=code.scratch_bytes,
        vgpr_spills=code.vgpr_spills,
        sgpr_spills=code.sgpr_spills,
        occupancy=found.waves_per_simd,
        occupancy_limit=found.limiter,
        wave_size=code.wave_size,
        code_bytes=code.code_bytes,
    )


def _parameters(layout: KernelLayout, capsule: Capsule) -> tuple[Parameter, ...]:
    names = [p.name for p in capsule.parameters]
    known = names if len(names) == len(layout.arguments) else [None] * len(layout.arguments)
    return tuple(
        Parameter(is_pointer=a.is_pointer, size=a.size, name=name)
        for a, name in zip(layout.arguments, known, strict=True)
    )
