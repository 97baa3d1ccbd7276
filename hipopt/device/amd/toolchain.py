"""The clang of this machine that compiles HIP device code: found, tried and named.

ROCm's where ROCm is installed, else Debian's with Debian's headers and device libraries. hipcc is
never called: it may choose another compiler than the one that was checked.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from hipopt.device import process
from hipopt.device.amd.limits import limits_of
from hipopt.device.confine.confinement import Confinement
from hipopt.device.confine.establish import establish
from hipopt.device.process import Completed
from hipopt.errors import DeviceError
from hipopt.records import Record

MEMORY_BYTES = 6 << 30
"""Address space that one compiler process may use."""

FLAGS = (
    "-x", "hip", "--cuda-device-only", "--no-gpu-bundle-output", "-O3", "-std=c++17", "-w",
    "-fuse-cuid=none",  # the same source gives the same code object
    "-ferror-limit=10", "-fno-crash-diagnostics",
)  # fmt: skip

HIPCC_FLAGS = (
    "-mllvm", "-amdgpu-early-inline-all=true", "-mllvm", "-amdgpu-function-calls=false",
)  # fmt: skip
"""What hipcc adds: a kernel is timed as its author's build would have it. Internal options, so they
are tried first."""

DEBIAN_PACKAGES = "clang-19 lld-19 rocm-device-libs libamdhip64-dev"
_DEBIAN_COMPILERS = ("clang++-19", "clang++-20", "clang++-21", "clang++-18")
_STAND_INS = {"942": "940", "1100": "1036"}
"""Device libraries of Debian that take the place of those that it lacks."""
_TIMEOUT_S = 120.0


class Installation(Record, frozen=True, kw_only=True):
    """Where a compiler and what it needs are installed; not yet tried."""

    origin: Literal["rocm", "debian"]
    compiler: Path
    root: Path
    """Below it lies `include/hip/hip_runtime.h`."""
    libraries: Path | None = None
    """Folder of device libraries; None: the compiler finds its own below the root."""

    @property
    def header(self) -> Path:
        """HIP's runtime header, which begins every capsule."""
        return self.root / "include" / "hip" / "hip_runtime.h"


class Toolchain(Record, frozen=True, kw_only=True):
    """A compiler of HIP device code that answered."""

    installation: Installation
    version: str
    """First line that `--version` prints."""
    more_flags: tuple[str, ...]
    """Those of `HIPCC_FLAGS` that it takes: all or none."""
    key: str
    """Hash of compiler, headers' version, libraries and flags."""
    directory: Path
    """Made by us: links to the device libraries, precompiled headers."""
    confinement: Confinement
    """What the compiler is closed in with."""

    def flags(self, arch: str) -> tuple[str, ...]:
        """What device code for `arch` is compiled with."""
        places = [f"--offload-arch={arch}", f"--rocm-path={self.installation.root}"]
        if self.installation.origin == "rocm":  # before the system's, which may have another HIP
            places += ["-isystem", str(self.installation.root / "include")]
        if self.installation.libraries is not None:
            places.append(f"--rocm-device-lib-path={self.directory / 'libraries'}")
        return (*FLAGS, *self.more_flags, *places)

    def command(self, arch: str, *arguments: str) -> list[str]:
        """Runs the compiler for `arch` with more arguments."""
        return [str(self.installation.compiler), *self.flags(arch), *arguments]

    @property
    def readable(self) -> tuple[Path, ...]:
        """What it reads besides the system's files."""
        return (self.directory, self.installation.root.resolve())

    def describe(self, arch: str) -> str:
        """Compiler, headers and libraries in words, with what makes do for something else."""
        text = self.version
        if self.installation.origin == "rocm":
            text += f", ROCm at {self.installation.root}"
        stand_in = self.stand_in(arch)
        if stand_in is not None:
            text += f"; device library of {stand_in} for {arch}, good for analysis only"
        return text

    def stand_in(self, arch: str) -> str | None:
        """The arch whose device library is used for `arch`; None: its own."""
        isa = arch.partition(":")[0].removeprefix("gfx")
        given = self.installation.libraries
        if given is None or (given / f"oclc_isa_version_{isa}.bc").exists():
            return None
        return f"gfx{_STAND_INS[isa]}" if isa in _STAND_INS else None


def find(environ: Mapping[str, str], system: Path = Path("/")) -> Installation:
    """ROCm's installation, or Debian's.

    Raises:
        DeviceError: there is neither, or a part is missing; says the command that mends it.
    """
    return _find_rocm(environ, system) or _find_debian(system)


def _find_rocm(environ: Mapping[str, str], system: Path) -> Installation | None:
    for root in rocm_roots(environ, system):
        for compiler in (root / "llvm/bin/clang++", root / "lib/llvm/bin/clang++"):
            if compiler.exists():
                found = Installation(origin="rocm", compiler=compiler, root=root)
                return _with_header(found, "install ROCm's hip-dev package")
    return None


def _find_debian(system: Path) -> Installation:
    compilers = (system / "usr/bin" / name for name in _DEBIAN_COMPILERS)
    compiler = next((path for path in compilers if path.exists()), None)
    libraries = sorted((system / "usr/lib").glob("*/amdgcn/bitcode"))
    if compiler is None or not libraries:
        missing = "compiler of HIP code" if compiler is None else "device libraries"
        raise DeviceError(
            f"no {missing} found (looked at $ROCM_PATH, /opt/rocm and Debian's packages): "
            f"install ROCm, or for compiling alone run `apt-get install {DEBIAN_PACKAGES}`"
        )
    found = Installation(
        origin="debian", compiler=compiler, root=system / "usr", libraries=libraries[0]
    )
    return _with_header(found, f"run `apt-get install {DEBIAN_PACKAGES}`")


def rocm_roots(environ: Mapping[str, str], system: Path) -> list[Path]:
    """Where ROCm may be: as the user says, the usual link, then the newest of the versions."""
    named = environ.get("ROCM_PATH")
    versions = sorted((system / "opt").glob("rocm-*"), key=_version_numbers, reverse=True)
    roots = [*([Path(named)] if named else []), system / "opt/rocm", *versions]
    return [root.resolve() for root in roots]


def _version_numbers(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", path.name))


def _with_header(found: Installation, mend: str) -> Installation:
    if not found.header.exists():
        raise DeviceError(f"{found.compiler} is there, but {found.header} is missing: {mend}")
    return found


def compiler_environ(scratch: Path) -> dict[str, str]:
    """The whole environment of a compiler: nothing of the user's, least of all HIP_PLATFORM."""
    return {
        "PATH": os.defpath,
        "LANG": "C",
        "LC_ALL": "C",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
    }


def prepare(cache_dir: Path, found: Installation, *, allow_unsandboxed: bool) -> Toolchain:
    """The toolchain, its compiler started and closed in; what is made of it is under `cache_dir`.

    Raises:
        DeviceError: the compiler does not start, or there is no sandbox and that isn't allowed.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    version = _version(found, cache_dir)
    more_flags = HIPCC_FLAGS if _takes(found, HIPCC_FLAGS, cache_dir) else ()
    key = _key(found, version, more_flags)
    confinement = establish(
        (str(found.compiler),), cache_dir, compiler_environ(cache_dir),
        allow_unsandboxed=allow_unsandboxed,
    )  # fmt: skip
    directory = cache_dir / f"toolchain-{key[:16]}"
    if not directory.exists():
        _furnish(directory, found)
    return Toolchain(
        installation=found,
        version=version,
        more_flags=more_flags,
        key=key,
        directory=directory,
        confinement=confinement,
    )


def _version(found: Installation, cwd: Path) -> str:
    done = _run(found, ["--version"], cwd)
    if done.exit_code != 0:
        raise DeviceError(f"{found.compiler} --version fails: {done.output[-500:]}")
    return done.output.splitlines()[0]


def _takes(found: Installation, flags: Sequence[str], cwd: Path) -> bool:
    """Whether device code that needs nothing compiles with the flags."""
    bare = ["-x", "hip", "--cuda-device-only", "-nogpulib", "-nogpuinc", "--offload-arch=gfx90a"]
    command = [*bare, *flags, "-S", "-o", os.devnull, os.devnull]
    return _run(found, command, cwd).exit_code == 0


def _run(found: Installation, arguments: Sequence[str], cwd: Path) -> Completed:
    try:
        return process.run(
            [str(found.compiler), *arguments],
            cwd=cwd,
            environ=compiler_environ(cwd),
            timeout_s=_TIMEOUT_S,
        )
    except OSError as error:
        raise DeviceError(f"{found.compiler} does not start: {error}") from None


def _key(found: Installation, version: str, more_flags: Sequence[str]) -> str:
    """Changes with every file that an upgrade of compiler, headers or libraries replaces."""
    parts = [found.compiler.resolve(), found.header, found.root / "include/hip/hip_version.h"]
    parts += [*_libraries(found), found.root / "amdgcn/bitcode/ocml.bc"]
    digest = hashlib.sha256(f"{version}\0{FLAGS}\0{more_flags}\0{_STAND_INS}\0{found}".encode())
    for part in parts:
        if part.exists():
            stat = part.stat()
            digest.update(f"{part}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def _libraries(found: Installation) -> Iterable[Path]:
    return sorted(found.libraries.glob("*.bc")) if found.libraries is not None else ()


def _furnish(directory: Path, found: Installation) -> None:
    """The directory stands there, with a link to every device library and stand-in."""
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix="toolchain-") as scratch:
        links = Path(scratch) / "made" / "libraries"
        links.mkdir(parents=True)
        for library in _libraries(found):
            (links / library.name).symlink_to(library)
        for isa, other in _STAND_INS.items():
            link, target = (links / f"oclc_isa_version_{n}.bc" for n in (isa, other))
            if not link.exists() and target.exists():
                link.symlink_to(target.readlink())
        try:
            links.parent.rename(directory)
        except OSError:  # another process was faster, with the same
            if not directory.exists():
                raise


def hipcc_trouble(environ: Mapping[str, str], system: Path = Path("/")) -> str | None:
    """Why a hipcc on PATH would compile for NVIDIA; None where it would not, or there is none.

    hipcc takes what HIP_PLATFORM says, else AMD's compiler where it finds one, else nvcc.
    """
    path = environ.get("PATH")
    if shutil.which("hipcc", path=path) is None:
        return None
    platform = environ.get("HIP_PLATFORM")
    if platform == "nvidia":
        return "hipcc would compile for NVIDIA, as HIP_PLATFORM=nvidia is set"
    has_amd = any((r / "llvm/bin/clang++").exists() for r in rocm_roots(environ, system))
    nvcc = shutil.which("nvcc", path=path)
    if platform is None and nvcc is not None and not has_amd:
        return (
            f"hipcc would choose {nvcc}; hipopt doesn't call it, your own builds want "
            "HIP_PLATFORM=amd"
        )
    return None


def check_arch(arch: str) -> str:
    """The arch as given, known and well-formed.

    Raises:
        UsageError: it is none that hipopt knows.
    """
    limits_of(arch)
    return arch
