"""What one kernel of a file becomes on AMD GPUs, without judging anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hipopt.device.amd.compiler import AmdCodeObject, AmdCompiler
from hipopt.device.amd.diagnostics import Diagnostic, diagnostics
from hipopt.device.amd.native import native_archs
from hipopt.device.interface import CompileFailure
from hipopt.errors import SourceError, UsageError
from hipopt.evaluate import read_source
from hipopt.includes import with_includes
from hipopt.records import Record, Verdict
from hipopt.settings import Settings
from hipopt.source.capsule import Capsule
from hipopt.source.rules import findings
from hipopt.source.slice import slice_kernel
from hipopt.source.tokens import line_of

TIMEOUT_S = 120.0


class Compiled(Record, frozen=True, kw_only=True):
    """What came of compiling for one arch."""

    arch: str
    toolchain: str
    code: AmdCodeObject | None
    """None: the compiler refused."""
    verdict: Verdict | None = None
    """Why there is no code; None where there is."""
    errors: tuple[Diagnostic, ...] = ()
    output: str | None = None
    """What the compiler printed; None where it accepted."""
    assembly: str | None = None
    """None: not asked for."""


def capsule_of(path: Path, kernel: str) -> Capsule:
    """The kernel cut out of its file.

    Raises:
        UsageError: the file can't be read, or holds no such kernel.
    """
    try:
        return slice_kernel(with_includes(path, read_source(path)), kernel)
    except SourceError as error:
        raise UsageError(f"{path}: {error}") from None


def template_of(capsule: Capsule, given: tuple[str, ...]) -> tuple[str, ...]:
    """The template arguments: as given, else those of the file's first launch.

    Raises:
        UsageError: the kernel is a template, and nothing tells its arguments.
    """
    if given or not capsule.template_parameters:
        return given
    launched = next((launch.template for launch in capsule.launches if launch.template), None)
    if launched is None:
        wanted = ", ".join(capsule.template_parameters)
        raise UsageError(f"kernel '{capsule.kernel}' is a template over {wanted}; give --template")
    return launched


def refusals(capsule: Capsule) -> tuple[str, ...]:
    """What a candidate with this source would be rejected for, one sentence each."""
    sentences = (
        f"line {line_of(capsule.source, f.offset)}: {f.subject} {f.why}"
        for f in findings(capsule.source)
    )
    return tuple(dict.fromkeys(sentences))


def wanted_archs(archs: Sequence[str], otherwise: str) -> tuple[str, ...]:
    """The archs to compile for, each once; `native` stands for those of this machine.

    Raises:
        UsageError: `native` was asked for and there is no GPU.
    """
    native = native_archs() if "native" in archs else ()
    if "native" in archs and not native:
        raise UsageError("--arch native: this machine shows no AMD GPU; name one, e.g. gfx942")
    wanted = (a for arch in archs or [otherwise] for a in (native if arch == "native" else [arch]))
    return tuple(dict.fromkeys(wanted))


def compile_for(
    capsule: Capsule,
    template: tuple[str, ...],
    arch: str,
    settings: Settings,
    *,
    with_assembly: bool = False,
) -> Compiled:
    """The capsule compiled for one arch.

    Raises:
        UsageError: hipopt knows no such arch.
        DeviceError: the compiler is missing or does not work.
    """
    allow = settings.allow_unsandboxed
    compiler = AmdCompiler(settings.cache_dir, arch, allow_unsandboxed=allow)
    toolchain = compiler.describe()
    code = compiler.compile(capsule, template, TIMEOUT_S)
    if isinstance(code, CompileFailure):
        return Compiled(
            arch=arch,
            toolchain=toolchain,
            code=None,
            verdict=code.verdict,
            errors=diagnostics(code.output),
            output=code.output,
        )
    text = compiler.assembly(capsule, template, TIMEOUT_S) if with_assembly else None
    assembly = text.output if isinstance(text, CompileFailure) else text
    return Compiled(arch=arch, toolchain=toolchain, code=code, assembly=assembly)
