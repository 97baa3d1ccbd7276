"""`hipopt compile`, and what the doctor says of AMD's compiler."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hipopt.amddoctor import amd_findings
from hipopt.cli.compile import command
from hipopt.errors import UsageError
from hipopt.finding import Finding, Health
from hipopt.settings import Settings
from tests.integration.examples import EXAMPLES

BLOCK_SUM = EXAMPLES / "hip" / "hip_125_BlockSum.hip"


def invoke(cache: Path, file: Path, kernel: str, *options: str) -> Result:
    """The command's result; an error of ours is raised."""
    arguments = [str(file), "--kernel", kernel, "--cache-dir", str(cache.parent), *options]
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def told(cache: Path, file: Path, kernel: str, *options: str) -> dict[str, Any]:
    """What the command prints as JSON."""
    result = invoke(cache, file, kernel, "--json", *options)
    assert result.exit_code == 0, result.output
    plain: dict[str, Any] = json.loads(result.stdout)
    return plain


@pytest.fixture
def cache(amd_cache: Path) -> Path:
    """A folder in the cache that the compilers of all tests share."""
    return amd_cache / "amd"


def test_json(cache: Path) -> None:
    """Arguments, resources and assembly of each arch come as one JSON object."""
    plain = told(
        cache, BLOCK_SUM, "block_sum", "--template", "float, 256", "--arch", "gfx90a",
        "--arch", "gfx942", "--asm",
    )  # fmt: skip
    assert plain["template"] == ["float", "256"]
    assert [each["arch"] for each in plain["archs"]] == ["gfx90a", "gfx942"]
    for each in plain["archs"]:
        assert each["symbol"] == "_Z9block_sumIfLi256EEvPKT_PS0_i"
        arguments = [(a["offset"], a["size"], a["kind"]) for a in each["arguments"]]
        assert arguments == [
            (0, 8, "global_buffer"), (8, 8, "global_buffer"), (16, 4, "by_value"),
        ]  # fmt: skip
        assert each["resources"]["lds_bytes"] > 0
        assert each["resources"]["occupancy_limit"] == "waves"
        assert "s_endpgm" in each["assembly"]
        assert Path(each["path"]).is_file()


def test_text(cache: Path) -> None:
    """A person reads what is used and what stops more."""
    result = invoke(
        cache, EXAMPLES / "hip/hip_104_LayerNorm.hip", "layer_norm_kernel", "--arch", "gfx90a"
    )
    assert "gfx90a: _Z17layer_norm_kernelPKfS0_S0_Pfif" in result.stdout
    assert "x* at 0" in result.stdout
    assert "512 bytes a block, static" in result.stdout
    assert "waves of 64 a SIMD at most" in result.stdout


def test_errors(cache: Path, tmp_path: Path) -> None:
    """A kernel that does not compile is a result: its errors come with line and message."""
    file = tmp_path / "k.hip"
    file.write_text("#include <hip/hip_runtime.h>\n__global__ void k(int* x) { *x = nothing; }\n")
    (each,) = told(cache, file, "k", "--arch", "gfx90a")["archs"]
    assert each["verdict"] == "compile_error"
    (error,) = each["errors"]
    assert error["message"] == "use of undeclared identifier 'nothing'"
    assert error["file"] == "kernel.hip"


def test_what_a_candidate_may_not_hold(cache: Path, tmp_path: Path) -> None:
    """Rules that a candidate would break are told once each, beside what came of compiling."""
    file = tmp_path / "k.hip"
    line = r'asm volatile(".incbin \"/etc/hostname\"");'
    file.write_text(f"__global__ void k(int* x) {{ {line} *x = 1; }}\n")
    plain = told(cache, file, "k", "--arch", "gfx90a")
    assert len(plain["not_for_candidates"]) == 1
    assert ".incbin" in plain["not_for_candidates"][0]
    assert plain["archs"][0]["verdict"] == "compile_error"


@pytest.mark.parametrize(
    ("kernel", "options", "reason"),
    [
        ("block_sum", [], "template over typename T, int BLOCK; give --template"),
        ("block_sum", ["--template", "int,64", "--arch", "gfx1"], "arch 'gfx1' is not one of"),
        ("missing", [], "missing"),
    ],
)
def test_used_wrongly(tmp_path: Path, kernel: str, options: Sequence[str], reason: str) -> None:
    """What is missing or unknown in the call is named; no compiler is asked."""
    with pytest.raises(UsageError, match=reason):
        invoke(tmp_path / "amd", BLOCK_SUM, kernel, *options)


def by_name(settings: Settings) -> dict[str, Finding]:
    """The doctor's findings on AMD."""
    return {finding.name: finding for finding in amd_findings(settings)}


def test_doctor_with_a_compiler(cache: Path) -> None:
    """The doctor has really compiled for the arch, and tells whose device library it used."""
    settings = Settings(cache_dir=cache.parent, target_arch="gfx90a")
    finding = by_name(settings)["amd compiler"]
    assert finding.detail.startswith("compiles for gfx90a: ")
    assert finding.health in (Health.OK, Health.WARN)


def test_doctor_on_an_unknown_arch(tmp_path: Path) -> None:
    """What can't be compiled for is off on a CPU run, and a failure where AMD was asked for."""
    for device, health in (("cpu", Health.OFF), ("amd", Health.FAIL)):
        settings = Settings(cache_dir=tmp_path, target_arch="gfx1", device=device)
        assert by_name(settings)["amd compiler"].health is health
