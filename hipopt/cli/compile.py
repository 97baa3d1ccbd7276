"""`hipopt compile`: what a kernel becomes on a GPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hipopt.cli.options import load_settings, with_settings
from hipopt.compilefile import (
    Compiled,
    capsule_of,
    compile_for,
    refusals,
    template_of,
    wanted_archs,
)
from hipopt.device.amd.compiler import AmdCodeObject

_LIMITS = {
    "waves": "all slots taken",
    "vgprs": "VGPRs stop more",
    "sgprs": "SGPRs stop more",
    "lds": "LDS stops more",
    "blocks": "no more blocks fit",
}


@click.command("compile")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--kernel", required=True, help="Name of the kernel function.")
@click.option("--device", type=click.Choice(["amd"]), default="amd", help="Whose code to show.")
@click.option("--arch", "archs", multiple=True, help="E.g. gfx942, or native; may be repeated.")
@click.option("--template", help="Template arguments, as between the angle brackets.")
@click.option("--asm", "with_assembly", is_flag=True, help="Print the assembly, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_settings("cache_dir", "target_arch", "allow_unsandboxed")
def command(
    file: Path, kernel: str, device: str, archs: tuple[str, ...], template: str | None,
    with_assembly: bool, as_json: bool, **options: Any,  # noqa: ANN401 (click's options)
) -> None:  # fmt: skip
    """Compile one kernel of FILE for a GPU, and show what its code object says.

    A kernel that does not compile is a result: the exit code is 0.
    """
    settings = load_settings(options)
    capsule = capsule_of(file, kernel)
    given = tuple(part.strip() for part in template.split(",")) if template else ()
    arguments = template_of(capsule, given)
    refused = refusals(capsule)
    found = [
        compile_for(capsule, arguments, arch, settings, with_assembly=with_assembly)
        for arch in wanted_archs(archs, settings.prompt_arch)
    ]
    if as_json:
        head = {"kernel": kernel, "file": str(file), "device": device, "template": arguments}
        body = {"not_for_candidates": refused, "archs": [_plain(each) for each in found]}
        click.echo(json.dumps(head | body))
        return
    click.echo("\n\n".join(_text(each) for each in found))
    for refusal in refused:
        click.echo(f"A candidate may not hold this: {refusal}", err=True)


def _plain(compiled: Compiled) -> dict[str, Any]:
    about = {"arch": compiled.arch, "toolchain": compiled.toolchain}
    code = compiled.code
    if code is None:
        errors = [error.to_json() for error in compiled.errors]
        return about | {"verdict": compiled.verdict, "errors": errors, "output": compiled.output}
    plain = {
        "symbol": code.kernel,
        "path": str(code.path),
        "sha256": code.sha256,
        "compile_seconds": code.compile_seconds,
        "arguments": [
            {"name": p.name, **a.to_json()}
            for p, a in zip(code.parameters, code.code.layout.arguments, strict=True)
        ],
        "kernarg_bytes": code.code.layout.kernarg_bytes,
        "max_threads": code.code.max_threads,
        "dynamic_stack": code.code.dynamic_stack,
        "resources": code.resources.to_json(),
        "objections": list(code.objections),
    }
    return about | plain | ({"assembly": compiled.assembly} if compiled.assembly else {})


def _text(compiled: Compiled) -> str:
    if compiled.code is None:
        return f"{compiled.arch}: {compiled.verdict}\n{compiled.output}".rstrip()
    parts = [*_lines(compiled.code), f"  compiler   {compiled.toolchain}"]
    if compiled.assembly:
        parts += ["", compiled.assembly.rstrip()]
    return "\n".join([f"{compiled.arch}: {compiled.code.kernel}", *parts])


def _lines(code: AmdCodeObject) -> list[str]:
    has = code.resources
    stack = ", more with its dynamic stack" if code.code.dynamic_stack else ""
    spills = f"{has.vgpr_spills} VGPRs, {has.sgpr_spills} SGPRs"
    limit = _LIMITS[has.occupancy_limit or "waves"]
    return [
        f"  arguments  {_arguments(code)} ({code.code.layout.kernarg_bytes} bytes in all)",
        f"  registers  {has.vgprs} VGPRs ({has.agprs} of them AGPRs), {has.sgprs} SGPRs",
        f"  spills     {spills}",
        f"  LDS        {has.lds_bytes} bytes a block, static",
        f"  scratch    {has.scratch_bytes} bytes a lane{stack}",
        f"  occupancy  {has.occupancy} waves of {has.wave_size} a SIMD at most: {limit}",
        f"  code       {has.code_bytes} bytes, compiled in {code.compile_seconds:.2f} s",
        f"  file       {code.path}",
        *(f"  note       {objection}" for objection in code.objections),
    ]


def _arguments(code: AmdCodeObject) -> str:
    described = (
        f"{p.name or f'#{n}'}{'*' if a.is_pointer else f':{a.size}'} at {a.offset}"
        for n, (p, a) in enumerate(zip(code.parameters, code.code.layout.arguments, strict=True), 1)
    )
    return ", ".join(described) or "none"
