"""What hipopt reads of a relocatable object file: symbols and section contents.

Reading instead of running: nothing that the object's author wrote gets a say.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

from hipopt.errors import DeviceError

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SYMTAB = 2
_TLS = 6
_GLOBAL = 1
_EXTENDED = 0xFFFF
_NOBITS = 8
_TLS_SECTION = 0x400
_WRITABLE_AND_ALLOCATED = 3


class Symbol(NamedTuple):
    """One entry of the symbol table."""

    name: str
    section: int
    """Index of its section; 0: undefined here."""
    value: int
    """Offset in its section, bytes."""
    size: int
    """Bytes."""
    is_tls: bool
    is_local: bool


class _Section(NamedTuple):
    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


class ObjectFile:
    """A 64-bit little-endian ELF object, read whole.

    Raises:
        DeviceError: the file is of another kind.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = path.read_bytes()
        try:
            header = _HEADER.unpack_from(self._data)
            if header[0][:6] != b"\x7fELF\x02\x01":
                raise DeviceError(f"{path}: not a 64-bit little-endian ELF file")
            offset, size, count = header[6], header[11], header[12]
            self._table = offset
            self._sections = [
                _Section._make(_SECTION.unpack_from(self._data, offset + i * size))
                for i in range(count or self._extended_count(offset))
            ]
            last = header[13]
            self._names_index = self._sections[0].link if last == _EXTENDED else last
            self.symbols = self._read_symbols()
        except (struct.error, ValueError) as error:
            raise DeviceError(f"{path}: damaged ELF file: {error}") from None

    def contents(self, symbol: Symbol) -> bytes:
        """The bytes that a defined symbol names."""
        start = self._sections[symbol.section].offset + symbol.value
        return self._data[start : start + symbol.size]

    def writable_sections(self) -> list[str]:
        """Names of the sections that the program may write to, in file order."""
        table = self._sections[self._names_index].offset
        return [
            self._text(table + s.name)
            for s in self._sections
            if s.flags & _WRITABLE_AND_ALLOCATED == _WRITABLE_AND_ALLOCATED and s.size
        ]

    def widen_tbss(self, more_bytes: int) -> None:
        """Every thread-local section without content takes more room than its variables need."""
        data = bytearray(self._data)
        for index, section in enumerate(self._sections):
            if section.kind == _NOBITS and section.flags & _TLS_SECTION and section.size:
                wider = section._replace(size=section.size + more_bytes)
                _SECTION.pack_into(data, self._table + index * _SECTION.size, *wider)
        self._path.write_bytes(data)

    def _extended_count(self, offset: int) -> int:
        """Section count of a file with 65,280 sections or more: it stands in section 0."""
        return _Section._make(_SECTION.unpack_from(self._data, offset)).size

    def _read_symbols(self) -> list[Symbol]:
        table = next((s for s in self._sections if s.kind == _SYMTAB), None)
        if table is None:
            return []
        names = self._sections[table.link].offset
        entries = self._data[table.offset : table.offset + table.size]
        return [
            Symbol(
                name=self._text(names + name),
                section=section,
                value=value,
                size=size,
                is_tls=info & 0xF == _TLS,
                is_local=info >> 4 < _GLOBAL,
            )
            for name, info, _, section, value, size in _SYMBOL.iter_unpack(entries)
        ]

    def _text(self, offset: int) -> str:
        return self._data[offset : self._data.index(b"\0", offset)].decode("utf-8", "replace")
