"""Whether two kernels were compiled to the same code: then nothing could tell them apart."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from hipopt.device.interface import CodeObject

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_PROGBITS, _NOBITS = 1, 8
_ALLOCATED = 2


def same_code(one: CodeObject, other: CodeObject) -> bool:
    """Whether what the two load into memory is equal to the byte; names and lines don't count."""
    return loaded(program_path(one)) == loaded(program_path(other))


def program_path(code: CodeObject) -> Path:
    """The ELF file of the code object, which may be a folder that holds one."""
    if not code.path.is_dir():
        return code.path
    return max((p for p in code.path.iterdir() if _is_elf(p)), key=lambda p: p.stat().st_size)


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def loaded(path: Path) -> str:
    """Hash of an ELF file's code and data, without symbols, debug information and notes."""
    data = path.read_bytes()
    header = _HEADER.unpack_from(data)
    offset, size, count = header[6], header[11], header[12]
    digest = hashlib.sha256()
    for index in range(count):
        _, kind, flags, address, start, length, *_ = _SECTION.unpack_from(
            data, offset + index * size
        )
        if flags & _ALLOCATED and kind in (_PROGBITS, _NOBITS):
            digest.update(struct.pack("<QQQ", kind, address, length))
            digest.update(data[start : start + length] if kind == _PROGBITS else b"")
    return digest.hexdigest()
