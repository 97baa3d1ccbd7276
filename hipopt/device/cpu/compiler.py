"""From a capsule to an executable that the CPU device can open, through a cache.

The executable is the emulator's runtime, the capsule, and an entry generated here. The kernel's
parameters are read from the object file: nothing of the candidate runs before a session does.
"""

from __future__ import annotations

import hashlib
import re
import struct
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from hipopt.device.codecache import CodeCache
from hipopt.device.cpu.elf import ObjectFile, Symbol
from hipopt.device.cpu.foreign import objections
from hipopt.device.cpu.toolchain import MEMORY_BYTES, Toolchain, compiler_environ
from hipopt.device.cpu.unset import with_unset_marked
from hipopt.device.entry import kernel_address
from hipopt.device.interface import CodeObject, CompileFailure, Parameter
from hipopt.records import Record, Resources, Verdict
from hipopt.source.capsule import Capsule
from hipopt.source.constants import with_constants

LDS_GAP_BYTES = 128
"""Between static arrays in LDS of instrumented code: nothing that overruns one hits the next."""

OUTPUT_CHARACTERS = 4000
"""Compiler output kept of a failure."""

# A precompiled header can't take these back.
_UNTOLD = "#undef HIPOPT_MICROSCOPE\n#undef __SANITIZE_THREAD__\n"
"""A kernel is not told whether the microscope looks."""

_LDS_AREA_BYTES = 160 * 1024 + 4096
_RECORD = "code.json"
_PROGRAM = "kernel"
_POINTER = 0x8000_0000
_WORD = 4


class LdsArray(Record, frozen=True, kw_only=True):
    """A static array in LDS, or the dynamic area."""

    name: str
    """As the source names it; empty: the dynamic area."""
    offset: int
    """Bytes from the start of static LDS."""
    bytes: int
    """0 of the dynamic area."""


class _Described(Record, frozen=True, kw_only=True):
    """What is kept beside an executable."""

    parameters: tuple[Parameter, ...]
    lds_bytes: int
    objections: tuple[str, ...]
    lds_arrays: tuple[LdsArray, ...] = ()
    """Of instrumented code."""


def compile_capsule(
    toolchain: Toolchain,
    cache_dir: Path,
    capsule: Capsule,
    template: tuple[str, ...],
    timeout_s: float,
    core: AbstractContextManager[object],
) -> CodeObject | CompileFailure:
    """The capsule's kernel as an executable, from the cache where it was compiled before.

    The compiler runs within `core`, whose wait doesn't count towards `timeout_s`.
    """
    plain = f"{with_constants(capsule.source)}\n{entry_text(capsule, template)}"
    text = with_unset_marked(plain) if toolchain.is_instrumented else plain
    names = tuple(p.name for p in capsule.parameters)
    key = hashlib.sha256(f"{toolchain.key}\0{names}\0{text}".encode()).hexdigest()
    cache = CodeCache(cache_dir / "code")
    kept = _kept(cache, key)
    if kept is not None:
        return kept
    with core, tempfile.TemporaryDirectory(dir=cache_dir, prefix="compile-") as scratch:
        start = time.monotonic()
        deadline = start + timeout_s
        failure = _build(toolchain, Path(scratch), capsule, text, names, deadline)
        if failure is not None and text != plain:  # such as where a jump passes a variable by
            failure = _build(toolchain, Path(scratch), capsule, plain, names, deadline)
        if failure is not None:
            return failure
        place = cache.publish(Path(scratch) / "done", key)
    return _code(place, key, time.monotonic() - start)


def entry_text(capsule: Capsule, template: tuple[str, ...]) -> str:
    """The generated end of the translation unit, which names the kernel to the runtime."""
    return f'#line 1 "entry"\nHIPOPT_ENTRY({kernel_address(capsule, template)})\n'


def _build(
    toolchain: Toolchain,
    scratch: Path,
    capsule: Capsule,
    text: str,
    names: tuple[str, ...],
    deadline: float,
) -> CompileFailure | None:
    """Compiles into `scratch/done`; the failure where the source is to blame."""
    (scratch / "kernel.hip").write_text(capsule.source)  # for the lines that errors quote
    (scratch / "unit.cpp").write_text(f'{_UNTOLD}#line 1 "kernel.hip"\n{text}')
    done = scratch / "done"
    done.mkdir(exist_ok=True)
    command = toolchain.compile_command("unit.cpp", "kernel.o")
    failure = _step(toolchain, command, scratch, deadline)
    if failure is not None:
        return failure
    unit = ObjectFile(scratch / "kernel.o")
    parameters = _parameters(unit, names)
    if parameters is None:
        return CompileFailure(
            verdict=Verdict.COMPILE_ERROR, output="the source hides the kernel from the device"
        )
    odd = _unrestorable(unit)
    if odd is not None:
        return CompileFailure(
            verdict=Verdict.COMPILE_ERROR,
            output=f"the source puts data that it can write to into a section of its own: {odd}",
        )
    tls = [s for s in unit.symbols if s.is_tls]
    lds_bytes = sum(s.size for s in tls if _is_static_lds(s))
    undefined = [s.name for s in tls if s.section == 0]
    (scratch / "lds.s").write_text(lds_text(undefined))
    if toolchain.is_instrumented:
        unit.widen_tbss(LDS_GAP_BYTES)
    command = toolchain.link_command(["kernel.o", "lds.s"], f"done/{_PROGRAM}")
    failure = _step(toolchain, command, scratch, deadline)
    if failure is not None:
        return failure
    arrays = _lds_arrays(unit, done / _PROGRAM) if toolchain.is_instrumented else ()
    described = _Described(
        parameters=parameters,
        lds_bytes=lds_bytes,
        objections=objections(unit, capsule.kernel),
        lds_arrays=arrays,
    )
    (done / _RECORD).write_bytes(msgspec.json.encode(described))
    return None


def lds_arrays(code: CodeObject) -> tuple[LdsArray, ...]:
    """Where the LDS of instrumented code lies."""
    record = code.path.parent / _RECORD
    return msgspec.json.decode(record.read_bytes(), type=_Described).lds_arrays


def _lds_arrays(unit: ObjectFile, program: Path) -> tuple[LdsArray, ...]:
    """The arrays that the kernel's object defines, where the linker put them."""
    names = {s.name for s in unit.symbols if s.is_tls and _is_static_lds(s)}
    guards = {s.name for s in unit.symbols if s.is_tls and not _is_static_lds(s)}
    linked = [s for s in ObjectFile(program).symbols if s.is_tls]
    begin = next(s.value for s in linked if s.name == "hipopt_lds_begin")
    dynamic = next(s.value for s in linked if s.name == "hipopt_dynamic_lds")
    arrays = [
        LdsArray(name=_short_name(s.name), offset=s.value - begin, bytes=s.size)
        for s in linked
        if s.name in names | guards and begin < s.value < dynamic
    ]
    return (*arrays, LdsArray(name="", offset=dynamic - begin, bytes=0))


def _short_name(symbol: str) -> str:
    """The variable's own name in a mangled one: its last part that says its own length."""
    found = [
        symbol[m.end() : m.end() + int(m[0])]
        for m in re.finditer(r"\d+", symbol)
        if m.end() + int(m[0]) <= len(symbol)
    ]
    names = [name for name in found if name.isidentifier()]
    return names[-1] if names else symbol


def _step(
    toolchain: Toolchain, command: list[str], scratch: Path, deadline: float
) -> CompileFailure | None:
    timeout_s = max(0.0, deadline - time.monotonic())
    done = toolchain.confinement.run(
        command,
        scratch=scratch,
        environ=compiler_environ(scratch, toolchain.directory.parent),
        timeout_s=timeout_s,
        memory_bytes=MEMORY_BYTES,
        read=[toolchain.directory],
    )
    if done.exit_code == 0:
        return None
    output = done.output
    for path in (f"{scratch}/", f"{toolchain.directory}/"):
        output = output.replace(path, "")
    if done.exit_code is None:
        return CompileFailure(
            verdict=Verdict.TIMEOUT, output=f"the compiler was killed at its deadline\n{output}"
        )
    output = output or f"the compiler ended with exit code {done.exit_code}"
    return CompileFailure(verdict=Verdict.COMPILE_ERROR, output=output[:OUTPUT_CHARACTERS])


def _parameters(unit: ObjectFile, names: tuple[str, ...]) -> tuple[Parameter, ...] | None:
    """The kernel's parameters from the table that the entry holds; None where there is none."""
    table = next((s for s in unit.symbols if s.name == "hipopt_parameters" and s.section), None)
    if table is None or table.size < _WORD or table.size % _WORD:
        return None
    count, *sizes = struct.unpack(f"<{table.size // _WORD}I", unit.contents(table))
    if len(sizes) != count + 1:
        return None
    known = names if len(names) == count else (None,) * count
    return tuple(
        Parameter(is_pointer=bool(size & _POINTER), size=size & ~_POINTER, name=name)
        for size, name in zip(sizes[:count], known, strict=True)
    )


def _unrestorable(unit: ObjectFile) -> str | None:
    """A section whose content would outlive a launch; see runtime/state.cpp."""
    known = tuple(
        f"{name}." for name in (".data", ".bss", ".tdata", ".tbss", ".init_array", ".preinit_array")
    )
    return next((s for s in unit.writable_sections() if not f"{s}.".startswith(known)), None)


def _is_static_lds(symbol: Symbol) -> bool:
    is_guard = symbol.name.startswith(("_ZGV", "__tls_guard"))
    return symbol.section != 0 and not is_guard


def lds_text(names: list[str]) -> str:
    """Assembly that ends static LDS and globals, and gives all dynamic LDS arrays one address."""
    labels = "".join(
        f'\t.globl "{name}"\n\t.type "{name}", %tls_object\n"{name}":\n'
        for name in (*names, "hipopt_dynamic_lds")
    )
    return (
        '\t.section .tbss, "awT", %nobits\n'
        "\t.balign 16\n\t.globl hipopt_lds_end\n\t.type hipopt_lds_end, %tls_object\n"
        "hipopt_lds_end:\n\t.zero 16\n"
        f"\t.balign 4096\n{labels}\t.zero {_LDS_AREA_BYTES}\n"
        '\t.section .tdata, "awT", %progbits\n'
        "\t.globl hipopt_tdata_end\n\t.type hipopt_tdata_end, %tls_object\nhipopt_tdata_end:\n"
        "\t.data\n\t.globl hipopt_data_end\nhipopt_data_end:\n"
        "\t.bss\n\t.globl hipopt_bss_end\nhipopt_bss_end:\n"
        '\t.section .note.GNU-stack, "", %progbits\n'
    )


def _kept(cache: CodeCache, key: str) -> CodeObject | None:
    place = cache.find(key)
    try:
        return _code(place, key, 0.0) if place is not None else None
    except FileNotFoundError:  # it has just been removed
        return None


def _code(place: Path, key: str, seconds: float) -> CodeObject:
    described = msgspec.json.decode((place / _RECORD).read_bytes(), type=_Described)
    return CodeObject(
        path=place / _PROGRAM,
        sha256=key,
        parameters=described.parameters,
        resources=Resources(lds_bytes=described.lds_bytes),
        compile_seconds=seconds,
        objections=described.objections,
    )
