"""What AMD code objects come of, what they say, and what is refused with which reason."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from hipopt.device import process
from hipopt.device.amd.codeobject import UnreadableCode, read_code
from hipopt.device.amd.compiler import AmdCodeObject, AmdCompiler
from hipopt.device.amd.diagnostics import diagnostics
from hipopt.device.amd.toolchain import HIPCC_FLAGS, compiler_environ
from hipopt.device.interface import CompileFailure
from hipopt.errors import UsageError
from hipopt.records import Verdict
from hipopt.source.capsule import Capsule
from hipopt.source.slice import slice_kernel
from tests.integration.examples import EXAMPLES, ROWS

TIMEOUT_S = 120.0

RESOURCEFUL = """
typedef float Tile __attribute__((ext_vector_type(32)));
__global__ void plain(float* p) { p[threadIdx.x] *= 2; }
__global__ __launch_bounds__(256) void accumulators(float* p) {
  Tile a[3];
  for (int k = 0; k < 3; ++k) for (int i = 0; i < 32; ++i) a[k][i] = p[k * 32 + i];
  for (int i = 0; i < 64; ++i) for (int k = 0; k < 3; ++k)
    a[k] = __builtin_amdgcn_mfma_f32_32x32x1f32(p[i + threadIdx.x], p[i + k + 7], a[k], 0, 0, 0);
  for (int k = 0; k < 3; ++k) for (int i = 0; i < 32; ++i) p[threadIdx.x * 96 + i] += a[k][i];
}
__global__ __launch_bounds__(64) void much_lds(float* p) {
  __shared__ float s[5000];
  s[threadIdx.x] = p[threadIdx.x];
  __syncthreads();
  p[threadIdx.x] = s[63 - threadIdx.x] + s[(int)p[1]];
}
__global__ __launch_bounds__(256) void some_lds(float* p) {
  __shared__ float s[3000];
  s[threadIdx.x] = p[threadIdx.x];
  __syncthreads();
  p[threadIdx.x] = s[63 - threadIdx.x] + s[(int)p[1]];
}
__global__ void scratch(float* p) {
  float a[100];
  for (int i = 0; i < 100; ++i) a[i] = p[i * 3];
  p[0] = a[(int)p[1]];
}
__device__ __attribute__((noinline)) int fib(int n, int* p) {
  return n < 2 ? p[n] : fib(n - 1, p) + fib(n - 2, p + 1);
}
__global__ void recursive(int* p) { p[0] = fib(p[1], p); }
__global__ __launch_bounds__(64) void many_registers(float* p) {
  float a[150];
  for (int i = 0; i < 150; ++i) a[i] = p[i * 64 + threadIdx.x];
  __syncthreads();
  for (int i = 0; i < 150; ++i) p[i * 64 + threadIdx.x] = a[i] * a[149 - i];
}
"""


def capsule(source: str, kernel: str = "k") -> Capsule:
    """A capsule of that source, whose parameters were not parsed."""
    text = f"#include <hip/hip_runtime.h>\n{source}"
    return Capsule(source=text, kernel=kernel, parameters=(), kernel_text=source)


@pytest.fixture
def compiler(amd_cache: Path) -> AmdCompiler:
    """Compiles for gfx90a."""
    return AmdCompiler(amd_cache, "gfx90a")


def compiled(compiler: AmdCompiler, source: str, kernel: str = "k") -> AmdCodeObject:
    """The kernel's code object; fails the test where the compiler refuses it."""
    code = compiler.compile(capsule(source, kernel), (), TIMEOUT_S)
    assert isinstance(code, AmdCodeObject), code.output
    return code


def refused(compiler: AmdCompiler, source: str) -> CompileFailure:
    """The compiler's refusal, which must come."""
    failure = compiler.compile(capsule(source), (), TIMEOUT_S)
    assert isinstance(failure, CompileFailure)
    return failure


def bundled() -> list[tuple[str, Capsule, tuple[str, ...]]]:
    """Every bundled kernel sliced, with each set of template arguments that it is judged with."""
    found = []
    for row in ROWS.values():
        source = (EXAMPLES / row["hip_file"]).read_text()
        kernel = slice_kernel(source, row["name"])
        templates = {tuple(w.get("template", ())) for w in row.get("workloads", [])} or {()}
        found += [(f"{row['id']} {row['name']}", kernel, template) for template in templates]
    return found


@pytest.mark.parametrize("arch", ["gfx90a", "gfx942"])
def test_bundled_kernels(amd_cache: Path, arch: str) -> None:
    """Every bundled kernel compiles, takes what its source declares, and tells its resources."""
    compiler = AmdCompiler(amd_cache, arch)
    compiler.describe()
    jobs = bundled()
    with ThreadPoolExecutor(2) as pool:
        codes = pool.map(lambda job: compiler.compile(job[1], job[2], TIMEOUT_S), jobs)
    assert len(jobs) >= len(ROWS) == 33
    for (title, kernel, _), code in zip(jobs, codes, strict=True):
        assert isinstance(code, AmdCodeObject), f"{title}: {code.output}"
        assert code.objections == (), title
        pointers = [p.is_pointer for p in kernel.parameters]
        assert [p.is_pointer for p in code.parameters] == pointers, title
        assert [p.name for p in code.parameters] == [p.name for p in kernel.parameters]
        offsets = [a.offset for a in code.layout]
        assert offsets == sorted(set(offsets))
        assert offsets[0] == 0
        assert code.code.target.endswith(f"--{arch}")
        has = code.resources
        assert has.vgprs is not None, title
        assert has.vgprs > 0, title
        assert has.occupancy in range(1, 9), title
        assert has.code_bytes, title
        assert has.wave_size == 64


def remarks(compiler: AmdCompiler, scratch: Path) -> dict[str, dict[str, int | str]]:
    """What the compiler itself remarks on each kernel of RESOURCEFUL."""
    unit = scratch / "unit.hip"
    unit.write_text(f"#include <hip/hip_runtime.h>\n{RESOURCEFUL}")
    how = ("-Rpass-analysis=kernel-resource-usage", str(unit), "-o", str(scratch / "unit.co"))
    done = process.run(
        compiler.toolchain.command(compiler.arch, *how),
        cwd=scratch,
        environ=compiler_environ(scratch),
        timeout_s=TIMEOUT_S,
    )
    assert done.exit_code == 0, done.output
    found: dict[str, dict[str, int | str]] = {}
    for name, value in re.findall(r"remark: +([^:\[]+?)(?: \[.*?\])?: (\S+) \[-R", done.output):
        if name == "Function Name":
            found[value] = current = {}
        else:
            current[name] = int(value) if value.isdigit() else value
    return found


@pytest.mark.parametrize("arch", ["gfx90a", "gfx942"])
def test_resources_are_the_compilers(amd_cache: Path, tmp_path: Path, arch: str) -> None:
    """Registers, LDS, scratch and occupancy are what the compiler's own analysis says."""
    compiler = AmdCompiler(amd_cache, arch)
    said = remarks(compiler, tmp_path)
    limiters = {}
    for name in re.findall(r"__global__.* void (\w+)\(", RESOURCEFUL):
        code = compiled(compiler, RESOURCEFUL, name)
        has, its = code.resources, said[code.kernel]
        vectors = (
            -(-int(its["VGPRs"]) // 4) * 4 + int(its["AGPRs"]) if its["AGPRs"] else its["VGPRs"]
        )
        assert has.vgprs == vectors, name
        assert (has.agprs, has.sgprs) == (its["AGPRs"], its["SGPRs"]), name
        assert (has.lds_bytes, has.scratch_bytes) == (its["LDS Size"], its["ScratchSize"]), name
        assert (has.vgpr_spills, has.sgpr_spills) == (its["VGPRs Spill"], its["SGPRs Spill"]), name
        assert code.code.dynamic_stack == (its["Dynamic Stack"] == "True"), name
        assert has.occupancy == its["Occupancy"], name
        limiters[name] = has.occupancy_limit
    assert limiters == {
        "plain": "waves", "accumulators": "vgprs", "much_lds": "lds", "some_lds": "lds",
        "scratch": "waves", "recursive": "waves", "many_registers": "vgprs",
    }  # fmt: skip


def test_occupancy_of_a_launch(compiler: AmdCompiler) -> None:
    """Small blocks with much LDS leave SIMDs empty, which only the launch can tell."""
    source = "__global__ void k(float* p) { __shared__ float s[8192]; s[threadIdx.x] = p[0];"
    source += " __syncthreads(); p[1] = s[(int)p[2]]; }"
    code = compiled(compiler, source)
    assert code.resources_at(1024, 0).occupancy == 8
    assert code.resources_at(64, 0).occupancy == 1
    assert code.resources_at(64, 0).occupancy_limit == "lds"
    assert code.resources_at(1024, 32 << 10).occupancy == 4
    assert code.resources_at(1024, 33 << 10).occupancy == 0


def test_launches_that_cannot_be(compiler: AmdCompiler) -> None:
    """Blocks that the code or the arch has no room for are refused with both figures."""
    source = "__global__ __launch_bounds__(256) void k(float* p) { __shared__ float s[4096];"
    source += " s[threadIdx.x] = p[0]; __syncthreads(); p[1] = s[(int)p[2]]; }"
    code = compiled(compiler, source)
    assert code.refusal(256, 48 << 10) is None
    assert code.refusal(257, 0) == (
        "blocks of 257 threads, but the kernel was compiled for at most 256 (__launch_bounds__)"
    )
    assert code.refusal(64, (48 << 10) + 4) == (
        "16384 bytes of static and 49156 of dynamic LDS, but a block on gfx90a has at most 65536"
    )


def test_argument_layout(compiler: AmdCompiler) -> None:
    """Offsets, sizes and kinds are those of the C++ types; what the runtime adds is left out."""
    source = """
    struct Box { float a[5]; char c; };
    struct Two { float* p; float* q; };
    __global__ void k(const float* x, Box b, char c, double d, float4 v, bool t, Two two, dim3 s) {
      two.p[blockDim.x] = x[0] + b.a[3] + c + d + v.y + t + s.x;
    }"""
    layout = compiled(compiler, source).code.layout
    found = [(a.offset, a.size, a.is_pointer) for a in layout.arguments]
    assert found == [
        (0, 8, True), (8, 24, False), (32, 1, False), (40, 8, False), (48, 16, False),
        (64, 1, False), (72, 16, False), (88, 12, False),
    ]  # fmt: skip
    assert layout.kernarg_bytes >= 100
    assert layout.kernarg_align == 16


KERNELS_OF_A_NAME = """
namespace a { template <class T, int N> __global__ void k(T* x) { x[N] = 1; } }
namespace b { __global__ void k(int* x) { x[0] = 2; } }
__global__ void k(short* x) { x[0] = 3; }
"""

PARAMETERS = {
    name: slice_kernel(f"__global__ void k({type_text} x) {{ *x = 1; }}", "k").parameters
    for name, type_text in (("b::k", "int*"), ("k", "short*"))
}


@pytest.mark.parametrize(
    ("kernel", "template", "symbol"),
    [
        ("a::k", ("double", "7"), "_ZN1a1kIdLi7EEEvPT_"),
        ("a::k", ("float", "7"), "_ZN1a1kIfLi7EEEvPT_"),
        ("b::k", (), "_ZN1b1kEPi"),
        ("k", (), "_Z1kPs"),
    ],
)
def test_symbol(compiler: AmdCompiler, kernel: str, template: tuple[str, ...], symbol: str) -> None:
    """The kernel asked for is found among others of its name."""
    unit = msgspec.structs.replace(
        capsule(KERNELS_OF_A_NAME, kernel), parameters=PARAMETERS.get(kernel, ())
    )
    code = compiler.compile(unit, template, TIMEOUT_S)
    assert isinstance(code, AmdCodeObject), code.output
    assert code.kernel == symbol
    assert code.image[:4] == b"\x7fELF"


def test_errors_name_the_line(compiler: AmdCompiler) -> None:
    """An error is the capsule's line with its message, without any folder of ours."""
    failure = refused(compiler, "__global__ void k(int* x) {\n  x[0] = missing;\n}")
    assert failure.verdict is Verdict.COMPILE_ERROR
    (error,) = diagnostics(failure.output)
    assert (error.file, error.line, error.column) == ("kernel.hip", 3, 10)
    assert error.message == "use of undeclared identifier 'missing'"
    assert "/tmp" not in failure.output
    assert "x[0] = missing;" in failure.output


def test_errors_of_the_linker(compiler: AmdCompiler) -> None:
    """A function without a body is named, and no file of ours."""
    failure = refused(
        compiler, "__device__ int far(int);\n__global__ void k(int* x) { *x = far(1); }"
    )
    assert [e.message for e in diagnostics(failure.output)] == ["undefined hidden symbol: far(int)"]
    assert "/" not in failure.output


def test_oversize_lds(compiler: AmdCompiler) -> None:
    """More LDS than the arch has is refused, with both figures."""
    source = "__global__ void k(float* p) { __shared__ float s[16385]; s[threadIdx.x] = p[0];"
    failure = refused(compiler, source + " __syncthreads(); p[1] = s[(int)p[2]]; }")
    assert failure.verdict is Verdict.COMPILE_ERROR
    assert "(65540) exceeds limit (65536)" in failure.output


def test_incbin_sees_nothing(compiler: AmdCompiler, tmp_path: Path) -> None:
    """Assembly that takes a file of this machine into the code object finds none."""
    secret = tmp_path / "secret"
    secret.write_text("canary")
    line = rf'asm volatile(".pushsection .rodata\n.incbin \"{secret}\"\n.popsection");'
    failure = refused(compiler, f"__global__ void k(int* x) {{ {line} *x = 1; }}")
    assert "incbin" in diagnostics(failure.output)[0].message


def test_other_arguments_than_declared(compiler: AmdCompiler) -> None:
    """Where code and parsed source disagree on the arguments, the code object objects."""
    declared = slice_kernel("__global__ void k(float* x, int n) { x[n] = 1; }", "k")
    other = capsule("#define int long\n__global__ void k(float* x, int n) { x[n] = 1; }")
    odd = Capsule(source=other.source, kernel="k", parameters=declared.parameters, kernel_text="")
    code = compiler.compile(odd, (), TIMEOUT_S)
    assert isinstance(code, AmdCodeObject), code.output
    assert code.objections == (
        "argument 2 'n': the source declares 4 bytes, the compiled code takes 8",
    )


def test_cache(compiler: AmdCompiler, amd_cache: Path) -> None:
    """The second compile takes no time and gives the same bytes, also in another worker."""
    source = "__global__ void k(int* x) { x[threadIdx.x] = 271828; }"
    first = compiled(compiler, source)
    again = compiled(AmdCompiler(amd_cache, "gfx90a"), source)
    assert first.compile_seconds > 0
    assert again.compile_seconds == 0.0
    assert (again.sha256, again.image, again.code) == (first.sha256, first.image, first.code)


def test_archs_do_not_share(compiler: AmdCompiler, amd_cache: Path) -> None:
    """Code of one arch never serves another."""
    source = "__global__ void k(int* x) { x[threadIdx.x] = 161803; }"
    one, other = compiled(compiler, source), compiled(AmdCompiler(amd_cache, "gfx942"), source)
    assert one.sha256 != other.sha256
    assert (one.code.target[-6:], other.code.target[-6:]) == ("gfx90a", "gfx942")


def test_concurrent_workers(amd_cache: Path) -> None:
    """Several processes that compile the same at once all get it, whole."""
    program = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        from hipopt.device.amd.compiler import AmdCompiler
        from tests.unit.device.test_amd_compile import compiled
        compiler = AmdCompiler(Path({str(amd_cache)!r}), "gfx90a")
        for number in range(3):
            source = "__global__ void k(int* x) {{ *x = 577 + %d; }}" % number
            print(compiled(compiler, source).image.hex())
        """
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(3)
    ]
    outputs = {worker.communicate(timeout=TIMEOUT_S)[0] for worker in workers}
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert len(outputs) == 1
    assert len(outputs.pop().split()) == 3


def test_deadline(compiler: AmdCompiler) -> None:
    """A compiler that takes too long is killed, which is the candidate's timeout."""
    failure = compiler.compile(capsule("__global__ void k(int* x) { *x = 7; }"), (), 0.01)
    assert isinstance(failure, CompileFailure)
    assert failure.verdict is Verdict.TIMEOUT


def test_bad_precompiled_header_is_not_blamed(amd_cache: Path) -> None:
    """A kernel compiles to the same code where the precompiled header has gone bad."""
    source = "__global__ void k(int* x) { x[threadIdx.x] = 141421; }"
    good, bad = AmdCompiler(amd_cache, "gfx90a"), AmdCompiler(amd_cache, "gfx90a")
    bad.header = good.toolchain.directory / "damaged.pch"
    bad.header.write_bytes(good.header.read_bytes()[:100_000])
    unit = capsule(source)
    assert bad.assembly(unit, (), TIMEOUT_S) == good.assembly(unit, (), TIMEOUT_S)


def test_rocm(compiler: AmdCompiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ROCm below any folder compiles closed in, with its own headers and libraries."""
    installed = compiler.toolchain.installation
    if installed.origin == "rocm":
        pytest.skip("this machine's compiler is ROCm's")
    assert installed.libraries is not None
    root = tmp_path / "rocm-9.9.9"
    for folder in ("llvm/bin", "amdgcn"):
        (root / folder).mkdir(parents=True)
    (root / "llvm/bin/clang++").symlink_to(installed.compiler)
    shutil.copytree(installed.header.parent, root / "include/hip")
    shutil.copytree(installed.libraries, root / "amdgcn/bitcode")
    header = root / "include/hip/hip_version.h"
    header.write_text(f"{header.read_text()}\n#define ONLY_HERE 77\n")
    monkeypatch.setenv("ROCM_PATH", str(root))
    of_rocm = AmdCompiler(tmp_path / "cache", "gfx90a")
    assert of_rocm.describe().endswith(f"ROCm at {root}")
    source = "#include <hip/hip_version.h>\n__global__ void k(int* x) { *x = ONLY_HERE; }"
    assert compiled(of_rocm, source).kernel == "_Z1kPi"


def test_hidden_kernel(compiler: AmdCompiler) -> None:
    """A name that the device's compiler does not see as a kernel is an error of the source."""
    failure = refused(compiler, "__device__ void k(int* x) { *x = 1; }")
    assert failure.verdict is Verdict.COMPILE_ERROR


def test_damaged_code(compiler: AmdCompiler) -> None:
    """Whatever bytes stand where a code object should, reading ends with a reason."""
    image = compiled(compiler, "__global__ void k(int* x) { *x = 99; }").image
    assert read_code(image).symbol == "_Z1kPi"
    for size in (0, 3, 64, len(image) // 2):
        with pytest.raises(UnreadableCode):
            read_code(image[:size])
    with pytest.raises(UnreadableCode, match="can't be read"):
        read_code(image.replace(b"amdhsa.kernels", b"amdhsa.colonel"))
    with pytest.raises(UnreadableCode, match="not for an AMD GPU"):
        read_code(Path(sys.executable).resolve().read_bytes())


def test_flags_of_hipcc(compiler: AmdCompiler) -> None:
    """Clang takes the internal options that hipcc passes it, and they are passed."""
    assert set(HIPCC_FLAGS) <= set(compiler.toolchain.flags("gfx90a"))


def test_unknown_arch(amd_cache: Path) -> None:
    """An arch that hipopt has no limits of is a mistake of the user's."""
    with pytest.raises(UsageError, match="gfx90a, gfx942, gfx950, gfx1100"):
        AmdCompiler(amd_cache, "gfx9000")
