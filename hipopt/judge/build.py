"""A kernel compiled for the judging device and for the microscope, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import msgspec

from hipopt.device.interface import CodeObject, CompileFailure, Device, Microscope
from hipopt.judge.options import Codes
from hipopt.records import Record
from hipopt.source.capsule import Capsule

_AT_ONCE = 2
"""Compilers that run side by side."""

Template = tuple[str, ...]
_Compile = Callable[[Capsule, Template, float], CodeObject | CompileFailure]
_Pending = tuple[Template, Future[CodeObject | CompileFailure]]


class Builds(Record, frozen=True, kw_only=True):
    """A kernel's code objects, by template arguments."""

    device: Codes
    plain: Codes = msgspec.field(default_factory=dict)
    """For the microscope; empty: there is none, or it can't compile the kernel."""
    instrumented: Codes = msgspec.field(default_factory=dict)
    """Empty likewise."""
    failure: CompileFailure | None = None
    """Why the microscope's builds are empty, where the source is to blame."""


def is_own(microscope: object, device: object) -> bool:
    """Whether the device is its own microscope."""
    return microscope is device


def build(
    capsule: Capsule, templates: Iterable[Template], device: Device, microscope: Microscope | None,
    timeout_s: float, *, instrument: bool = True,
) -> Builds | CompileFailure:  # fmt: skip
    """The capsule compiled for each of the template arguments; a failure of the device's compiler.

    The microscope may fail: its builds are then left out.
    """
    wanted = tuple(dict.fromkeys(templates))
    with ThreadPoolExecutor(_AT_ONCE) as pool:

        def start(compiler: _Compile) -> list[_Pending]:
            return [(t, pool.submit(compiler, capsule, t, timeout_s)) for t in wanted]

        device_jobs = start(device.compile)
        instrumented_jobs = (
            start(microscope.compile_instrumented) if microscope and instrument else []
        )
        is_other = not is_own(microscope, device)
        plain_jobs = start(microscope.compile) if microscope and is_other else []
        codes, instrumented, plain = map(_complete, (device_jobs, instrumented_jobs, plain_jobs))
    if isinstance(codes, CompileFailure):
        return codes
    if microscope is not None and not is_other:
        plain = codes
    failed = [found for found in (instrumented, plain) if isinstance(found, CompileFailure)]
    return Builds(
        device=codes,
        plain={} if isinstance(plain, CompileFailure) else plain,
        instrumented={} if isinstance(instrumented, CompileFailure) else instrumented,
        failure=failed[0] if failed else None,
    )


def _complete(pending: list[_Pending]) -> Codes | CompileFailure:
    """All code objects, or the first failure."""
    codes: Codes = {}
    for template, future in pending:
        result = future.result()
        if isinstance(result, CompileFailure):
            return result
        codes[template] = result
    return codes


def first_error(output: str) -> str:
    """The first line of a compiler's output that names an error, else its first line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else "no output")
