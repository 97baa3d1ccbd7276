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
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from hipopt.device import process
from hipopt.errors import DeviceError
from hipopt.records import Record

RUNTIME = Path(__file__).parent / "runtime"

MEMORY_BYTES = 4 << 30
"""Address space that one compiler process may use."""

COMPILE_FLAGS = (
    "-std=gnu++17", "-O2", "-g1", "-w", "-pipe", "-fno-pie", "-ftls-model=local-exec",
    "-fno-strict-aliasing", "-fwrapv", "-fstack-clash-protection",
)  # fmt: skip
_GCC_FLAGS = ("-fno-extern-tls-init", "-fmax-errors=10")
_CLANG_FLAGS = ("-ferror-limit=10", "-UNDEBUG")

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
    link_flags: tuple[str, ...]
    is_static: bool
    """Whether programs are linked statically: the sandbox closes before any of their code runs."""
    directory: Path
    """Headers, precompiled header and object files of the runtime."""
    key: str
    """Hash of compiler, flags and runtime sources."""

    @property
    def objects(self) -> tuple[str, ...]:
        """The runtime's object files, in link order: its marks must come last."""
        return tuple(
            str(self.directory / f"{name}.o")
            for name in ("main", "fault", "sandbox", "scheduler", "switch")
        )

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
        return (sys.executable, "-m", "ziglang", "c++", "-target", target)
    raise DeviceError(
        "the CPU device needs a C++ compiler and found none (looked at $CXX, g++, clang++, c++ and "
        "the ziglang package): install g++, or run `pip install 'hipopt[local]'`"
    )


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


def prepare(cache_dir: Path, command: tuple[str, ...]) -> Toolchain:
    """The toolchain, its runtime compiled and kept under `cache_dir`.

    Raises:
        DeviceError: the compiler does not work; carries what it printed.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir, prefix="probe-") as scratch:
        version = _run(command, ["--version"], Path(scratch), cache_dir)
        flags = COMPILE_FLAGS + (_CLANG_FLAGS if "clang" in version else _GCC_FLAGS)
        is_static = _links(command, ["-static"], Path(scratch), cache_dir)
    sources = sorted(RUNTIME.iterdir())
    key = _hash([version, repr((command, flags, is_static, _HEADERS))], sources)
    toolchain = Toolchain(
        command=command,
        version=version.splitlines()[0],
        flags=flags,
        link_flags=(
            ("-static",) if is_static else ("-no-pie",)
        ) + ("-Wl,-e,hipopt_entry", "-Wl,-z,noexecstack"),
        is_static=is_static,
        directory=cache_dir / f"runtime-{key[:16]}",
        key=key,
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
        flags = [*toolchain.flags, "-fno-stack-protector", "-c"]
        for unit in (s for s in sources if s.suffix in {".cpp", ".S"}):
            command = [*flags, unit.name, "-o", f"{unit.stem}.o"]
            _run(toolchain.command, command, place, cache_dir)
        if "clang" not in toolchain.version:
            header = ["-x", "c++-header", "emulation.hpp", "-o", "emulation.hpp.gch"]
            _run(toolchain.command, [*toolchain.flags, *header], place, cache_dir)
        place.rename(toolchain.directory)


def _links(command: tuple[str, ...], flags: list[str], scratch: Path, cache_dir: Path) -> bool:
    program = scratch / "probe.cpp"
    program.write_text(_PROGRAM)
    done = process.run(
        [*command, *flags, program.name, "-o", "probe"],
        cwd=scratch,
        environ=compiler_environ(scratch, cache_dir),
        timeout_s=_PREPARE_TIMEOUT_S,
    )
    return done.exit_code == 0


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
