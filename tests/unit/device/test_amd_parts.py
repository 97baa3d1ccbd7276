"""The parts of the AMD device that need no compiler."""

from __future__ import annotations

from pathlib import Path

import pytest

from hipopt.device.amd.codeobject import KernelArgument, KernelLayout
from hipopt.device.amd.diagnostics import Diagnostic, diagnostics, shortened
from hipopt.device.amd.limits import ARCHS, limits_of
from hipopt.device.amd.native import native_archs
from hipopt.device.amd.occupancy import Demand, Occupancy, occupancy
from hipopt.device.amd.signature import disagreement
from hipopt.device.amd.toolchain import find, hipcc_trouble
from hipopt.errors import DeviceError, UsageError
from hipopt.llm.architectures import ARCHITECTURES
from hipopt.source.capsule import KernelParameter
from hipopt.source.slice import slice_kernel


def waves(arch: str, **demand: int) -> Occupancy:
    """The occupancy of a kernel that wants little but what is named."""
    whole = {"wave_size": 64, "vgprs": 8, "sgprs": 16, "lds_bytes": 0, "threads": 256} | demand
    return occupancy(limits_of(arch), Demand(**whole))


@pytest.mark.parametrize(
    ("arch", "demand", "expected"),
    [
        ("gfx90a", {}, (8, "waves")),
        ("gfx90a", {"vgprs": 64}, (8, "waves")),
        ("gfx90a", {"vgprs": 65}, (7, "vgprs")),
        ("gfx942", {"vgprs": 128}, (4, "vgprs")),
        ("gfx942", {"vgprs": 512}, (1, "vgprs")),
        ("gfx90a", {"sgprs": 101}, (7, "sgprs")),
        ("gfx942", {"lds_bytes": 64 << 10, "threads": 1024}, (4, "lds")),
        ("gfx942", {"lds_bytes": 64 << 10, "threads": 64}, (1, "lds")),
        ("gfx942", {"lds_bytes": (64 << 10) + 1}, (0, "lds")),
        ("gfx950", {"lds_bytes": 80 << 10, "threads": 1024}, (8, "waves")),
        ("gfx950", {"lds_bytes": 160 << 10, "threads": 512}, (2, "lds")),
        ("gfx90a", {"threads": 64}, (8, "waves")),
        ("gfx1100", {"wave_size": 32, "vgprs": 96}, (16, "waves")),
        ("gfx1100", {"wave_size": 32, "vgprs": 97}, (12, "vgprs")),
        ("gfx1100", {"wave_size": 32, "sgprs": 106}, (16, "waves")),
        ("gfx1100", {"wave_size": 64, "vgprs": 256}, (2, "vgprs")),
    ],
)
def test_occupancy(arch: str, demand: dict[str, int], expected: tuple[int, str]) -> None:
    """The scarcest resource bounds the waves of a SIMD, at the steps that each arch has."""
    found = waves(arch, **demand)
    assert (found.waves_per_simd, found.limiter) == expected


def test_limits_agree_with_the_prompt() -> None:
    """The model is told the same of an arch as its code is held to."""
    assert set(ARCHS) == set(ARCHITECTURES)
    for arch, limits in ARCHS.items():
        assert ARCHITECTURES[arch].lds_bytes == limits.lds_block_bytes
        assert ARCHITECTURES[arch].wave_size in limits.vgprs


def test_features_of_an_arch() -> None:
    """Features after a colon change no limit; an arch that is unknown is said to be."""
    assert limits_of("gfx90a:sramecc+:xnack-") is limits_of("gfx90a")
    with pytest.raises(UsageError, match="'gfx803' is not one of gfx90a"):
        limits_of("gfx803")


# -- this machine's GPUs ----------------------------------------------------------------------


def topology(root: Path, versions: dict[str, int]) -> Path:
    """A driver's list of nodes."""
    for name, version in versions.items():
        (root / name).mkdir(parents=True)
        text = f"cpu_cores_count 0\ngfx_target_version {version}\nsimd_count 4\n"
        (root / name / "properties").write_text(text)
    return root


def test_native_archs(tmp_path: Path) -> None:
    """GPUs come in the driver's order, CPUs are none, versions are written as clang does."""
    nodes = topology(tmp_path / "nodes", {"0": 0, "1": 90402, "2": 90010, "10": 110000, "3": 90500})
    assert native_archs(nodes) == ("gfx942", "gfx90a", "gfx950", "gfx1100")
    assert native_archs(tmp_path / "missing") == ()


# -- toolchains -------------------------------------------------------------------------------


def put(*files: Path) -> None:
    """Empty files."""
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def put_debian(root: Path) -> None:
    """What Debian's packages install."""
    put(
        root / "usr/bin/clang++-19",
        root / "usr/include/hip/hip_runtime.h",
        root / "usr/lib/x86_64-linux-gnu/amdgcn/bitcode/ocml.bc",
    )


def put_rocm(root: Path) -> None:
    """What ROCm installs."""
    put(root / "llvm/bin/clang++", root / "include/hip/hip_runtime.h")


def test_nothing_installed(tmp_path: Path) -> None:
    """A bare machine is told the one command that installs what compiles."""
    with pytest.raises(DeviceError, match="apt-get install clang-19 lld-19 rocm-device-libs lib"):
        find({}, tmp_path)


def test_parts_missing(tmp_path: Path) -> None:
    """What is missing beside a compiler is named."""
    put_debian(tmp_path)
    (tmp_path / "usr/include/hip/hip_runtime.h").unlink()
    with pytest.raises(DeviceError, match=r"hip_runtime.h is missing: run `apt-get install"):
        find({}, tmp_path)
    (tmp_path / "usr/lib/x86_64-linux-gnu/amdgcn/bitcode").rename(tmp_path / "gone")
    with pytest.raises(DeviceError, match="no device libraries found"):
        find({}, tmp_path)


def test_rocm_comes_before_debian(tmp_path: Path) -> None:
    """ROCm is taken where it is installed, the newest of several, or the one that was named."""
    put_debian(tmp_path)
    assert find({}, tmp_path).origin == "debian"
    for version in ("6.9.0", "6.10.1"):
        put_rocm(tmp_path / f"opt/rocm-{version}")
    assert find({}, tmp_path).root.name == "rocm-6.10.1"
    (tmp_path / "opt/rocm").symlink_to("rocm-6.9.0")
    assert find({}, tmp_path).root.name == "rocm-6.9.0"
    put_rocm(tmp_path / "home/rocm")
    named = find({"ROCM_PATH": str(tmp_path / "home/rocm")}, tmp_path)
    assert (named.origin, named.compiler) == ("rocm", tmp_path / "home/rocm/llvm/bin/clang++")


def test_hipcc_that_picks_nvcc(tmp_path: Path) -> None:
    """A hipcc beside an nvcc, or told to take NVIDIA's compiler, is noticed."""
    tools = tmp_path / "bin"
    environ = {"PATH": str(tools), "ROCM_PATH": str(tmp_path / "rocm")}
    assert hipcc_trouble(environ, tmp_path) is None
    put(tools / "hipcc", tools / "nvcc")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    assert f"would choose {tools / 'nvcc'}" in str(hipcc_trouble(environ, tmp_path))
    assert hipcc_trouble(environ | {"HIP_PLATFORM": "amd"}, tmp_path) is None
    put_rocm(tmp_path / "rocm")
    assert hipcc_trouble(environ, tmp_path) is None
    assert "NVIDIA" in str(hipcc_trouble(environ | {"HIP_PLATFORM": "nvidia"}, tmp_path))


# -- what compilers print, and arguments ------------------------------------------------------


def test_diagnostics() -> None:
    """Errors come with their place where there is one; notes and quoted lines are none."""
    output = (
        "kernel.hip:3:7: error: no member named 'w' in 'float4': try y\n"
        "    3 |   x.w = 1;\n      |     ^\n"
        "kernel.hip:1:2: note: declared here\n"
        "kernel.hip:9:1: fatal error: 'torch/all.h' file not found\n"
        "lld: error: undefined hidden symbol: far(int)\n"
    )
    assert diagnostics(output) == (
        Diagnostic(
            file="kernel.hip", line=3, column=7, message="no member named 'w' in 'float4': try y"
        ),
        Diagnostic(file="kernel.hip", line=9, column=1, message="'torch/all.h' file not found"),
        Diagnostic(file=None, line=None, column=None, message="undefined hidden symbol: far(int)"),
    )


def test_shortened() -> None:
    """Our folders and names of intermediate files are not what the model should read."""
    output = (
        "/tmp/x/kernel.hip:1:1: error: no\n"
        ">>> referenced by /tmp/x/unit-gfx90a-1f2e3d.o:(k(int*))\n"
        "1 error generated when compiling for gfx90a.\n"
        "clang++: error: amdgcn-link command failed with exit code 1 (use -v to see invocation)\n"
    )
    assert shortened(output, ("/tmp/x",)) == (
        "kernel.hip:1:1: error: no\n>>> referenced by kernel.hip:(k(int*))\n"
    )


def declared(text: str) -> tuple[KernelParameter, ...]:
    """Parameters as the source's parser reads them."""
    return slice_kernel(f"__global__ void k({text}) {{}}", "k").parameters


def layout(*arguments: tuple[int, str]) -> KernelLayout:
    """A layout of arguments given by size and kind."""
    return KernelLayout(
        arguments=tuple(
            KernelArgument(offset=8 * i, size=size, kind=kind)
            for i, (size, kind) in enumerate(arguments)
        ),
        kernarg_bytes=8 * len(arguments),
        kernarg_align=8,
    )


POINTER = (8, "global_buffer")


@pytest.mark.parametrize(
    ("text", "arguments", "reason"),
    [
        ("float* x, int n, Odd o", (POINTER, (4, "by_value"), (24, "by_value")), None),
        ("bool b, __half h", ((1, "by_value"), (2, "by_value")), None),
        ("float* x", (POINTER, POINTER), "declares 1 arguments, the compiled code takes 2"),
        ("float* x", ((8, "by_value"),), "argument 1 'x': the source declares a pointer"),
        ("long n", (POINTER,), "declares a int64, the compiled code takes a pointer"),
        ("float f", ((8, "by_value"),), "declares 4 bytes, the compiled code takes 8"),
        ("Odd o", ((4, "dynamic_shared_pointer"),), "which no launch of ours passes"),
    ],
)
def test_disagreement(
    text: str, arguments: tuple[tuple[int, str], ...], reason: str | None
) -> None:
    """Each way in which code and declaration may differ has its sentence."""
    found = disagreement(layout(*arguments), declared(text))
    assert found is None if reason is None else reason in str(found)
