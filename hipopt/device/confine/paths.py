"""What a compiler must be able to read to work, and nothing that belongs to a person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/alternatives",
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/nix/store", "/gnu/store",
)  # fmt: skip


def readable(program: str) -> tuple[Path, ...]:
    """The system's programs and libraries, and where `program` is installed if not among them."""
    system = [Path(path) for path in _SYSTEM if Path(path).exists()]
    own = [path for path in _installed(Path(program)) if not _is_within(path, system)]
    return (*system, *own)


def _installed(program: Path) -> Iterator[Path]:
    """The program, what it links to, and the folder that it is installed in."""
    while program.is_symlink():
        yield program
        program = program.parent / program.readlink()
    yield program
    yield _prefix(program.resolve())


def _prefix(program: Path) -> Path:
    """`/opt/rocm` of `/opt/rocm/bin/clang++`; never a home directory or what holds one."""
    prefix = program.parent.parent if program.parent.name == "bin" else program.parent
    holds_home = Path.home().resolve().is_relative_to(prefix)
    return program.parent if holds_home else prefix


def _is_within(path: Path, places: list[Path]) -> bool:
    return any(path.is_relative_to(place) for place in places)
