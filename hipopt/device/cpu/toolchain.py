"""The C++ compiler of this machine, and the emulator's runtime as it compiled it.

The runtime (precompiled header and object files) is made once per compiler, flags and runtime
sources, in a directory named by a hash of these; concurrent makers wait for the first.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from hipopt.device import process
from hipopt.device.confine.confinement import Confinement
from hipopt.device.confine.establish import establish
from hipopt.errors import DeviceError
from hipopt.records import Record

RUNTIME = Path(__file__).parent / "runtime"

MEMORY_BYTES = 4 << 30
"""Address space that one compiler process may use."""

COMPILE_FLAGS = (
    "-std=gnu++17", "-O2", "-g1", "-w", "-pipe", "-fno-pie", "-ftls-model=local-exec",
    "-fno-strict-aliasing", "-fwrapv", "-fstack-clash-protection",
    "-falign-functions=64", "-falign-loops=32",  # or where code happens to lie shows in its time
    *(f"-fno-builtin-{name}" for name in (
        "rint", "rintf", "nearbyint", "nearbyintf", "lrint", "lrintf", "llrint", "llrintf",
    )),
)  # fmt: skip
"""The functions named here are the runtime's, which round to even in every rounding mode."""
_GCC_FLAGS = ("-fno-extern-tls-init", "-fmax-errors=10")
_CLANG_FLAGS = ("-ferror-limit=10", "-UNDEBUG")
_STATIC = "-static"
_SPOIL = "-ftrivial-auto-var-init=pattern"
"""From GCC 12 and clang 8 on: a local variable that is read before it is set holds no luck."""

_ZERO = "-ftrivial-auto-var-init=zero"
"""Of instrumented builds: other content than in plain ones shows where it matters."""

_UNITS = (
    "main", "fault", "sandbox", "scheduler", "fibers", "lds", "order", "rounding", "state",
    "switch",
)  # fmt: skip
_MICROSCOPE_UNITS = ("regions", "races", "hooks", "atomic_hooks", "undefined")
_MICROSCOPE_FLAGS = ("-fdata-sections", "-DHIPOPT_MICROSCOPE")
_UNDEFINED = "alignment,float-cast-overflow,integer-divide-by-zero,unreachable,return"
_GCC_MICROSCOPE_FLAGS = (
    f"-fsanitize=thread,object-size,{_UNDEFINED}", "--param=tsan-distinguish-volatile=1",
    "--param=tsan-instrument-func-entry-exit=0",
)  # fmt: skip
# Told to the compiler proper: its driver allows what its own runtime libraries can do.
_CLANG_MICROSCOPE_FLAGS = (
    "-Xclang", f"-fsanitize=thread,local-bounds,{_UNDEFINED}",
    "-Xclang", "-fsanitize-recover=alignment,float-cast-overflow,integer-divide-by-zero",
    "-mllvm", "-tsan-distinguish-volatile=1",
    "-mllvm", "-tsan-instrument-func-entry-exit=0",
    "-mllvm", "-tsan-instrument-read-before-write=1",
)  # fmt: skip

_HEADERS = (
    "assert.h", "cassert", "cooperative_groups.h", "cuda.h", "cuda_bf16.h", "cuda_fp16.h",
    "cuda_runtime.h", "cuda_runtime_api.h", "device_launch_parameters.h",
    "hip/amd_detail/amd_hip_vector_types.h", "hip/device_functions.h", "hip/hip_bf16.h",
    "hip/hip_bfloat16.h", "hip/hip_common.h", "hip/hip_complex.h", "hip/hip_cooperative_groups.h",
    "hip/hip_fp16.h", "hip/hip_math_constants.h", "hip/hip_runtime.h", "hip/hip_runtime_api.h",
    "hip/hip_vector_types.h", "hip/hip_version.h", "hip/math_functions.h", "math_constants.h",
    "vector_types.h",
)  # fmt: skip
"""Headers that a kernel may include and that the emulation header, always included, covers."""

_PREPARE_TIMEOUT_S = 600.0  # zig compiles its libraries first
_PROGRAM = "int main() { return 0; }\n"


class Toolchain(Record, frozen=True, kw_only=True):
    """A C++ compiler with the runtime that it compiled."""

    command: tuple[str, ...]
    version: str
    """First line that `--version` prints."""
    flags: tuple[str, ...]
    """What a kernel is compiled with."""
    runtime_flags: tuple[str, ...]
    """What the runtime itself is compiled with."""
    units: tuple[str, ...]
    """The runtime's object files, in link order: its marks must come last."""
    link_flags: tuple[str, ...]
    is_static: bool
    """Whether programs are linked statically: the sandbox closes before any of their code runs."""
    directory: Path
    """Headers, precompiled header and object files of the runtime."""
    key: str
    """Hash of compiler, flags and runtime sources."""
    confinement: Confinement
    """What the compiler is closed in with when it compiles a candidate."""

    @property
    def objects(self) -> tuple[str, ...]:
        """The paths of the runtime's object files, in link order."""
        return tuple(str(self.directory / f"{name}.o") for name in self.units)

    @property
    def is_instrumented(self) -> bool:
        """Whether kernels are compiled so that the microscope sees every access to memory."""
        return _MICROSCOPE_FLAGS[-1] in self.flags

    def compile_command(self, source: str, output: str) -> list[str]:
        """Compiles one file with the emulation header before its first line."""
        header = str(self.directory / "emulation.hpp")
        include = ["-include", header, f"-I{self.directory / 'include'}"]
        return [*self.command, *self.flags, *include, "-c", source, "-o", output]

    def link_command(self, inputs: Sequence[str], output: str) -> list[str]:
        """Links the runtime with the given files."""
        return [*self.command, *self.link_flags, *self.objects, *inputs, "-o", output]


def find_compiler(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The command of a C++ compiler: `$CXX`, g++, clang++, c++, or the ziglang package's.

    Raises:
        DeviceError: there is none; says how to get one.
    """
    for name in (environ.get("CXX"), "g++", "clang++", "c++"):
        if name and (path := shutil.which(name, path=environ.get("PATH"))):
            return (path,)
    if importlib.util.find_spec("ziglang") is not None:
        target = f"{platform.machine()}-linux-musl"  # the libc that it can link statically
        return (_zig(), "c++", "-target", target)
    raise DeviceError(
        "the CPU device needs a C++ compiler and found none (looked at $CXX, g++, clang++, c++ and "
        "the ziglang package): install g++, or run `pip install 'hipopt[local]'`"
    )


def _zig() -> str:
    """The ziglang package's program; started directly, without a Python around it."""
    spec = importlib.util.find_spec("ziglang")
    places = spec.submodule_search_locations if spec is not None else None
    return str(Path(next(iter(places or ()), "")) / "zig")


def compiler_environ(scratch: Path, cache_dir: Path) -> dict[str, str]:
    """The whole environment of a compiler: no secret of ours is in it.

    `cache_dir` is where zig keeps the libraries that it compiles on first use.
    """
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C",
        "LC_ALL": "C",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "ZIG_GLOBAL_CACHE_DIR": str(cache_dir / "zig"),
        "ZIG_LOCAL_CACHE_DIR": str(cache_dir / "zig"),
    }


def confine(cache_dir: Path, command: tuple[str, ...], *, allow_unsandboxed: bool) -> Confinement:
    """What the compiler is closed in with here, tried just now.

    Raises:
        DeviceError: the compiler does not work, or there is no sandbox and that isn't allowed.
    """
    (cache_dir / "zig").mkdir(parents=True, exist_ok=True)
    return establish(
        command,
        cache_dir,
        compiler_environ(cache_dir, cache_dir),
        write=[cache_dir / "zig"] if Path(command[0]).name == "zig" else [],
        allow_unsandboxed=allow_unsandboxed,
    )


def prepare(
    cache_dir: Path,
    command: tuple[str, ...],
    confinement: Confinement,
    *,
    instrumented: bool = False,
) -> Toolchain:
    """The toolchain, its runtime compiled and kept under `cache_dir`.

    `instrumented`: the one whose kernels the microscope can look into.

    Raises:
        DeviceError: the compiler does not work; carries what it printed.
    """
    with tempfile.TemporaryDirectory(dir=cache_dir, prefix="probe-") as scratch:
        version = _run(command, ["--version"], Path(scratch), cache_dir)
        is_clang = "clang" in version
        flags = runtime_flags = COMPILE_FLAGS + (_CLANG_FLAGS if is_clang else _GCC_FLAGS)
        if instrumented:
            more = _CLANG_MICROSCOPE_FLAGS if is_clang else _GCC_MICROSCOPE_FLAGS
            flags = (*flags, *_MICROSCOPE_FLAGS, *more)
            runtime_flags = (*runtime_flags, "-DHIPOPT_MICROSCOPE", "-DHIPOPT_RUNTIME")
        accepted = _accepted(command, confinement, Path(scratch), cache_dir)
        spoil = _ZERO if instrumented and not is_clang else _SPOIL
        flags = (*flags, *(spoil for flag in accepted if flag == _SPOIL))
    is_static = _STATIC in accepted
    sources = sorted(RUNTIME.iterdir())
    key = _hash([version, repr((command, flags, runtime_flags, is_static, _HEADERS))], sources)
    toolchain = Toolchain(
        command=command,
        version=version.splitlines()[0],
        flags=flags,
        runtime_flags=runtime_flags,
        units=(*(_MICROSCOPE_UNITS if instrumented else ()), *_UNITS),
        link_flags=(
            (_STATIC,) if is_static else ("-no-pie",)
        ) + ("-Wl,-e,hipopt_entry", "-Wl,-z,noexecstack"),
        is_static=is_static,
        directory=cache_dir / f"runtime-{key[:16]}",
        key=key,
        confinement=confinement,
    )  # fmt: skip
    with (cache_dir / "runtime.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not toolchain.directory.exists():
            _build(toolchain, sources, cache_dir)
    return toolchain


def _build(toolchain: Toolchain, sources: Sequence[Path], cache_dir: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache_dir, prefix="runtime-") as scratch:
        place = Path(scratch) / "runtime"
        place.mkdir()
        for source in sources:
            shutil.copy(source, place)
        for name in _HEADERS:
            stub = place / "include" / name
            stub.parent.mkdir(parents=True, exist_ok=True)
            stub.touch()
        flags = [*toolchain.runtime_flags, "-fno-stack-protector", "-c"]
        for unit in (s for s in sources if s.stem in toolchain.units and s.suffix != ".hpp"):
            command = [*flags, unit.name, "-o", f"{unit.stem}.o"]
            _run(toolchain.command, command, place, cache_dir)
        if "clang" not in toolchain.version:
            header = ["-x", "c++-header", "emulation.hpp", "-o", "emulation.hpp.gch"]
            _run(toolchain.command, [*toolchain.flags, *header], place, cache_dir)
        place.rename(toolchain.directory)


def _accepted(
    command: tuple[str, ...], confinement: Confinement, scratch: Path, cache_dir: Path
) -> tuple[str, ...]:
    """The most of what we would like that this compiler takes and links with, in the sandbox.

    Raises:
        DeviceError: it links nothing there.
    """
    (scratch / "probe.cpp").write_text(_PROGRAM)
    for flags in ((_STATIC, _SPOIL), (_STATIC,), (_SPOIL,), ()):
        done = confinement.run(
            [*command, *flags, "probe.cpp", "-o", "probe"],
            scratch=scratch,
            environ=compiler_environ(scratch, cache_dir),
            timeout_s=_PREPARE_TIMEOUT_S,
        )
        if done.exit_code == 0:
            return flags
    raise DeviceError(
        f"the C++ compiler '{' '.join(command)}' does not work in the sandbox (exit code "
        f"{done.exit_code}); install it below /usr or /opt:\n{done.output[-2000:]}"
    )


def _run(command: tuple[str, ...], arguments: list[str], cwd: Path, cache_dir: Path) -> str:
    try:
        done = process.run(
            [*command, *arguments],
            cwd=cwd,
            environ=compiler_environ(cwd, cache_dir),
            timeout_s=_PREPARE_TIMEOUT_S,
        )
    except OSError as error:
        raise DeviceError(f"the C++ compiler '{command[0]}' does not start: {error}") from None
    if done.exit_code != 0:
        raise DeviceError(
            f"the C++ compiler '{' '.join(command)}' failed to build the CPU device's runtime "
            f"(exit code {done.exit_code}):\n{done.output[-2000:]}"
        )
    return done.output


def _hash(texts: Sequence[str], files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() + b"\0")
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
