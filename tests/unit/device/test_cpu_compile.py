"""What the CPU device's compiler accepts, refuses and remembers."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hipopt.device.cpu import toolchain
from hipopt.device.cpu.device import CpuDevice
from hipopt.device.interface import CodeObject, CompileFailure
from hipopt.errors import DeviceError
from hipopt.records import Verdict
from hipopt.source.capsule import Capsule, KernelParameter


def parameter(name: str, type_text: str) -> KernelParameter:
    """A parameter as slicing would describe it."""
    pointer = "*" in type_text
    return KernelParameter(
        name=name, type_text=type_text, is_pointer=pointer, is_const=False, dtype=None
    )


def test_parameters(cpu: Any) -> None:
    """Sizes and kinds come from the compiled types, whatever the source calls them."""
    source = """
    struct Three { float a, b, c; };
    using Index = unsigned short;
    template <class T> struct Holder { using Type = T*; };
    __global__ void k(Holder<int>::Type p, Index i, bool b, Three t, double d, const float4 v,
                      const int* __restrict__ const q) {}
    """
    code = cpu.compile(source)
    found = [(p.is_pointer, p.size) for p in code.parameters]
    assert found == [
        (True, 8), (False, 2), (False, 1), (False, 12), (False, 8), (False, 16), (True, 8),
    ]  # fmt: skip


def test_parameter_names(cpu: Any) -> None:
    """Parameters carry the names that the capsule has for them."""
    source = "__global__ void k(int* x, int n) { x[0] = n; }"
    named = Capsule(
        source=source,
        kernel="k",
        parameters=(parameter("x", "int*"), parameter("n", "int")),
        kernel_text=source,
    )
    code = cpu.device.compile(named, (), 60.0)
    assert [p.name for p in code.parameters] == ["x", "n"]


def test_overloaded_name(cpu: Any) -> None:
    """A kernel is told from functions of its name by its parameter types."""
    source = """
    __device__ int k(int v) { return v + 1; }
    __global__ void k(int* x) { x[threadIdx.x] = k(threadIdx.x); }
    """
    chosen = Capsule(
        source=source, kernel="k", parameters=(parameter("x", "int*"),), kernel_text=source
    )
    code = cpu.device.compile(chosen, (), 60.0)
    assert isinstance(code, CodeObject)
    assert len(code.parameters) == 1


def test_errors_name_the_line(cpu: Any) -> None:
    """A refusal quotes the capsule's own line, and no path of this machine."""
    failure = cpu.device.compile(
        cpu.capsule("\n__global__ void k(int* x) {\n  *x = y;\n}"), (), 60.0
    )
    assert isinstance(failure, CompileFailure)
    assert failure.verdict == Verdict.COMPILE_ERROR
    assert "kernel.hip:4:8: error: 'y' was not declared in this scope" in failure.output
    assert "*x = y;" in failure.output
    assert "/" not in failure.output.replace("//", "")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("__global__ void other(int* x) {}", "'::k' has not been declared"),
        ("__global__ void k(int* x) { missing(x); } void missing(int*);", "missing"),
        ("void missing(int*); __global__ void k(int* x) { missing(x); }", "undefined reference"),
        ("int main() {} __global__ void k(int* x) {}", "main"),
        ("__global__ void k(int* x) {", "expected '}'"),
        ("__global__ void k(int* x) {}\n#define HIPOPT_ENTRY(...)", "hides the kernel"),
        ('#include "/nonexistent/secret.h"\n__global__ void k(int* x) {}', "secret.h"),
        ("__global__ void k(int* x) { " + "undeclared += 1; " * 5000 + "}", "undeclared"),
    ],
)
def test_refusals(cpu: Any, source: str, words: str) -> None:
    """What does not compile or link is a failure with a bounded explanation."""
    failure = cpu.device.compile(cpu.capsule(source), (), 60.0)
    assert isinstance(failure, CompileFailure)
    assert failure.verdict == Verdict.COMPILE_ERROR
    assert words in failure.output
    assert len(failure.output) <= 4000


BOMB = """
template <int N, int M> struct Bomb {
    static constexpr int value = Bomb<N - 1, M * 2>::value + Bomb<N - 1, M * 2 + 1>::value; };
template <int M> struct Bomb<0, M> { static constexpr int value = 1; };
__global__ void k(int* x) { *x = Bomb<30, 0>::value; }
"""


def test_compile_deadline(cpu: Any) -> None:
    """A source that compiles for ever is a timeout, and costs little more than its deadline."""
    start = time.monotonic()
    failure = cpu.device.compile(cpu.capsule(BOMB), (), 1.0)
    assert isinstance(failure, CompileFailure)
    assert failure.verdict == Verdict.TIMEOUT
    assert time.monotonic() - start < 15.0


def test_cache(cpu: Any) -> None:
    """The same capsule compiles once; another template argument or source does not hit."""
    source = "template <int N> __global__ void k(int* x) { *x = N; } // cache"
    first = cpu.compile(source, template=("1",))
    again = cpu.compile(source, template=("1",))
    assert first.compile_seconds > 0.0
    assert again.compile_seconds == 0.0
    assert (again.path, again.parameters) == (first.path, first.parameters)
    assert cpu.compile(source, template=("2",)).sha256 != first.sha256
    assert cpu.compile(source + "!", template=("1",)).sha256 != first.sha256


CONCURRENT = """
import sys
from pathlib import Path
from hipopt.device.cpu.device import CpuDevice
from hipopt.source.capsule import Capsule
source = "__global__ void k(int* x) { *x = 1; }"
capsule = Capsule(source=source, kernel="k", parameters=(), kernel_text=source)
print(CpuDevice(Path(sys.argv[1])).compile(capsule, (), 60.0).path)
"""


def test_concurrent_compiles_agree(cpu: Any, tmp_path: Path) -> None:
    """Processes that fill one empty cache at once all end with the same code object."""
    assert cpu
    command = [sys.executable, "-c", CONCURRENT, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    paths = {process.communicate(timeout=120)[0] for process in running}
    assert len(paths) == 1
    assert Path(paths.pop().strip()).exists()
    assert not list(tmp_path.glob("cpu/compile-*"))


@pytest.mark.parametrize(
    "header",
    ["hip/hip_runtime.h", "hip/hip_fp16.h", "hip/hip_bf16.h", "hip/hip_cooperative_groups.h",
     "cuda_runtime.h", "cuda_fp16.h", "cassert", "assert.h", "hip/hip_complex.h"],
)  # fmt: skip
def test_headers(cpu: Any, header: str) -> None:
    """The headers that kernels include are there."""
    source = f"#include <{header}>\n__global__ void k(int* x) {{ *x = 1; }}"
    assert cpu.outputs(source, [np.zeros(1, np.int32)])[0][0] == 1


def test_standard_headers_stay_valid(cpu: Any) -> None:
    """HIP's keywords do not break standard headers that a kernel's file includes after them."""
    source = """
    #include <memory>
    #include <string>
    #include <vector>
    __device__ __noinline__ int one() { return 1; }
    __global__ void k(int* x) { *x = one(); }
    """
    assert cpu.outputs(source, [np.zeros(1, np.int32)])[0][0] == 1


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a compiler the device says what it looked for and how to get one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(DeviceError, match="install g\\+\\+"):
        CpuDevice(tmp_path / "cache").describe()


def test_compiler_sees_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The compiler's environment holds nothing of ours but PATH."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    environ = toolchain.compiler_environ(tmp_path, tmp_path)
    assert "sk-secret" not in environ.values()
    assert set(environ) == {
        "PATH", "LANG", "LC_ALL", "HOME", "TMPDIR", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR",
    }  # fmt: skip
