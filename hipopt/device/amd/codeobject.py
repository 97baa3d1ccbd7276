"""What an AMD code object says of the kernel in it: symbol, arguments, registers, memory.

The ELF file is read by pyelftools; its metadata note is msgpack, read by msgspec into the types
below. Fields are those of the AMDGPU ABI, code object version 4 and later (LLVM's `AMDGPUUsage`).
Reading instead of running: what is read was written by our compiler, but may be about anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import msgspec
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection
from elftools.elf.segments import NoteSegment

from hipopt.records import Record

MARK = "hipopt_kernel"
"""Constant of the generated entry that holds the kernel's address."""
_MARK_SYMBOL = f"_ZL{len(MARK)}{MARK}"
"""Its mangled name: of the file's own scope, and in no namespace."""
_MACHINE = "EM_AMDGPU"
_METADATA_NOTE = 32
_RELATIVE64 = 13
_DESCRIPTOR = ".kd"
_HIDDEN = "hidden_"


class UnreadableCode(Exception):
    """The file is no code object with exactly one described kernel at the mark; says why."""


class KernelArgument(Record, frozen=True, kw_only=True):
    """One explicit argument in the kernel's argument block."""

    offset: int
    """Bytes from the start of the block."""
    size: int
    """Bytes."""
    kind: str
    """As the metadata call it: `global_buffer`, `by_value`."""

    @property
    def is_pointer(self) -> bool:
        """Whether it is the address of a buffer."""
        return self.kind == "global_buffer"


class KernelLayout(Record, frozen=True, kw_only=True):
    """How the argument block is laid out."""

    arguments: tuple[KernelArgument, ...]
    """The explicit ones, in order; what the runtime adds behind them is left out."""
    kernarg_bytes: int
    """Of the whole block, with what the runtime adds."""
    kernarg_align: int


class KernelCode(Record, frozen=True, kw_only=True):
    """A compiled kernel as its code object describes it."""

    symbol: str
    """Mangled name, by which a runtime finds it."""
    target: str
    """E.g. `amdgcn-amd-amdhsa--gfx942`."""
    layout: KernelLayout
    wave_size: int
    max_threads: int
    """Most threads of a block that it was compiled for."""
    vgprs: int
    """Of a lane; where AGPRs come out of the same registers, with them."""
    agprs: int
    sgprs: int
    lds_bytes: int
    """Static."""
    scratch_bytes: int
    """Of a lane."""
    vgpr_spills: int
    sgpr_spills: int
    dynamic_stack: bool
    """Whether scratch may grow beyond `scratch_bytes`, as with recursion."""
    code_bytes: int
    """Of the kernel's own function."""


class _Argument(msgspec.Struct, rename=lambda name: f".{name}"):
    offset: int
    size: int
    value_kind: str


class _Kernel(msgspec.Struct, rename=lambda name: f".{name}"):
    name: str
    symbol: str
    kernarg_segment_size: int
    kernarg_segment_align: int
    group_segment_fixed_size: int
    private_segment_fixed_size: int
    wavefront_size: int
    max_flat_workgroup_size: int
    vgpr_count: int
    sgpr_count: int
    args: tuple[_Argument, ...] = ()
    agpr_count: int = 0
    vgpr_spill_count: int = 0
    sgpr_spill_count: int = 0
    uses_dynamic_stack: bool = False


class _Metadata(msgspec.Struct):
    kernels: tuple[_Kernel, ...] = msgspec.field(name="amdhsa.kernels")
    target: str = msgspec.field(name="amdhsa.target")


def read_code(image: bytes) -> KernelCode:
    """What the code object says of the kernel that the generated entry names.

    Raises:
        UnreadableCode: it says nothing clear; carries one sentence.
    """
    try:
        elf = ELFFile(BytesIO(image))
        if elf.header["e_machine"] != _MACHINE:
            raise UnreadableCode("the compiler's output is not for an AMD GPU")
        metadata = _metadata(elf)
        symbol, code_bytes = _marked(elf)
    except (
        ELFError,
        msgspec.MsgspecError,
        ValueError,
        KeyError,
        IndexError,
        OverflowError,
    ) as error:
        raise UnreadableCode(f"the code object can't be read: {error}") from None
    found = [k for k in metadata.kernels if k.symbol == symbol + _DESCRIPTOR]
    if len(found) != 1:
        raise UnreadableCode(f"the code object describes kernel '{symbol}' {len(found)} times")
    return _kernel_code(found[0], metadata.target, code_bytes)


def _metadata(elf: ELFFile) -> _Metadata:
    notes = [n for n in _notes(elf) if n["n_name"] == "AMDGPU" and n["n_type"] == _METADATA_NOTE]
    if len(notes) != 1:
        raise UnreadableCode(f"the code object has {len(notes)} metadata notes, expected one")
    return msgspec.msgpack.decode(notes[0]["n_descdata"], type=_Metadata)


def _notes(elf: ELFFile) -> Iterator[Any]:
    for segment in elf.iter_segments("PT_NOTE"):
        if isinstance(segment, NoteSegment):
            yield from segment.iter_notes()


def _marked(elf: ELFFile) -> tuple[str, int]:
    """Name and size of the function whose address the mark holds."""
    table = elf.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        raise UnreadableCode("the code object has no symbol table")
    symbols = list(table.iter_symbols())
    marks = [s["st_value"] for s in symbols if s.name == _MARK_SYMBOL]
    targets = {r["r_addend"] for r in _relocations(elf) if r["r_offset"] in marks}
    functions = {
        s.name: s["st_size"]
        for s in symbols
        if s["st_value"] in targets and s["st_info"]["type"] == "STT_FUNC"
    }
    if len(functions) != 1:
        raise UnreadableCode("the source hides the kernel from the device")
    return next(iter(functions.items()))


def _relocations(elf: ELFFile) -> Iterator[Any]:
    for section in elf.iter_sections("SHT_RELA"):
        if isinstance(section, RelocationSection):
            yield from (r for r in section.iter_relocations() if r["r_info_type"] == _RELATIVE64)


def _kernel_code(kernel: _Kernel, target: str, code_bytes: int) -> KernelCode:
    explicit = (a for a in kernel.args if not a.value_kind.startswith(_HIDDEN))
    return KernelCode(
        symbol=kernel.name,
        target=target,
        layout=KernelLayout(
            arguments=tuple(
                KernelArgument(offset=a.offset, size=a.size, kind=a.value_kind) for a in explicit
            ),
            kernarg_bytes=kernel.kernarg_segment_size,
            kernarg_align=kernel.kernarg_segment_align,
        ),
        wave_size=kernel.wavefront_size,
        max_threads=kernel.max_flat_workgroup_size,
        vgprs=kernel.vgpr_count,
        agprs=kernel.agpr_count,
        sgprs=kernel.sgpr_count,
        lds_bytes=kernel.group_segment_fixed_size,
        scratch_bytes=kernel.private_segment_fixed_size,
        vgpr_spills=kernel.vgpr_spill_count,
        sgpr_spills=kernel.sgpr_spill_count,
        dynamic_stack=kernel.uses_dynamic_stack,
        code_bytes=code_bytes,
    )
