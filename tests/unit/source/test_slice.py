"""Kernels cut out of their files."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipopt.errors import SourceError
from hipopt.source.slice import slice_kernel
from tests.unit.source.kernels import SAXPY, TORCH_EXTENSION, TWO_NAMESPACES


def test_a_program_gives_device_code_only() -> None:
    """Host functions and host headers go; what the kernel uses stays."""
    capsule = slice_kernel(SAXPY, "saxpy")
    assert capsule.source == (
        "#include <hip/hip_runtime.h>\n\n#define BLOCK 256\n\n" + capsule.kernel_text + "\n"
    )
    assert capsule.kernel == "saxpy"
    assert [p.name for p in capsule.parameters] == ["x", "y", "a", "n"]


def test_a_torch_extension_compiles_without_torch() -> None:
    """Of an extension stay the kernel, what it leads to, and stand-ins for torch's macros."""
    capsule = slice_kernel(TORCH_EXTENSION, "scale")
    for gone in ("torch", "PYBIND", "launch(", "Unused", "static_assert", "<<<", "vector"):
        assert gone not in capsule.source.replace("__launch_bounds__", "")
    for kept in ("#define HD", "/// Keeps x", "namespace detail {", "using namespace detail;",
                 "typedef unsigned int uint_t;", "float table[TILE];", "CUDA_KERNEL_LOOP_TYPE",
                 "#ifndef TILE\n#define TILE 16\n#endif"):  # fmt: skip
        assert kept in capsule.source
    assert capsule.kernel_text in TORCH_EXTENSION
    assert capsule.template_parameters == ("typename scalar_t",)


def test_slicing_a_capsule_changes_nothing() -> None:
    """A kernel sliced out of its capsule is the same capsule, but for the host's launches."""
    capsule = slice_kernel(TORCH_EXTENSION, "scale")
    again = slice_kernel(capsule.source, capsule.kernel)
    assert again.launches == ()
    assert msgspec.structs.replace(again, launches=capsule.launches) == capsule


@pytest.mark.parametrize(
    ("name", "value"), [("a::k", "1"), ("b::c::k", "2"), ("c::k", "2"), ("::a::k", "1")]
)
def test_names_may_be_qualified(name: str, value: str) -> None:
    """Any tail of the qualified name that is unique finds the kernel."""
    assert f"x[0] = {value};" in slice_kernel(TWO_NAMESPACES, name).kernel_text


def test_a_name_may_carry_its_signature() -> None:
    """Return type, template arguments and parameters around the name are ignored."""
    assert slice_kernel(SAXPY, "void saxpy(const float*, float*, float, int)").kernel == "saxpy"
    assert slice_kernel(TORCH_EXTENSION, "scale<float>").kernel == "scale"


def test_two_definitions_are_told_apart_by_code_body() -> None:
    """Where the name stands twice, the one whose text or body is code_body is meant."""
    body = "{ x[0]   = 2; /* same */ }"
    assert slice_kernel(TWO_NAMESPACES, "k", code_body=body).kernel == "b::c::k"
    whole = "__global__ void k(int* x) { x[0] = 1; }"
    assert slice_kernel(TWO_NAMESPACES, "k", code_body=whole).kernel == "a::k"
    with pytest.raises(SourceError, match=r"defined 2 times, in lines 1 \(a::k\), 3 \(b::c::k\)"):
        slice_kernel(TWO_NAMESPACES, "k")


def test_an_overloaded_kernel_is_alone_in_its_capsule() -> None:
    """Other kernels of the name go, all overloads of a helper stay."""
    source = (
        "__device__ int h(int a) { return a; }\n__device__ float h(float a) { return a; }\n"
        "__global__ void k(int* x) { x[0] = h(1); }\n"
        "__global__ void k(float* x) { x[0] = h(1.0f); }\n"
    )
    capsule = slice_kernel(source, "k", code_body="__global__ void k(float* x) { x[0] = 7; }")
    assert capsule.source.count("__global__") == 1
    assert "x[0] = 7;" in slice_kernel(source, "k", code_body=capsule.kernel_text).source
    kept = slice_kernel(source, "k", code_body="{ x[0] = h(1.0f); }")
    assert "int h(int a)" in kept.source
    assert "float h(float a)" in kept.source


def test_no_such_kernel_lists_those_that_are_there() -> None:
    """The error names the kernels of the file, and a macro that makes the one asked for."""
    with pytest.raises(SourceError, match="no kernel 'sax' in the source; kernels there: saxpy"):
        slice_kernel(SAXPY, "sax")
    with pytest.raises(SourceError, match="exists only as the macro K expands"):
        slice_kernel("#define K(n) __global__ void n(int* x) {}\nK(k)\n", "k")


def test_code_body_wins_over_the_file() -> None:
    """Where both differ, the manifest's kernel stands in the file's surroundings."""
    body = "{ y[0] = BLOCK; }"
    capsule = slice_kernel(SAXPY, "saxpy", code_body=body)
    assert capsule.kernel_text.endswith(body)
    assert "#define BLOCK 256" in capsule.source


def test_code_body_alone() -> None:
    """Without a file, a function with helpers or a whole file will do; only a body will not."""
    assert slice_kernel(None, "saxpy", code_body=SAXPY) == slice_kernel(SAXPY, "saxpy")
    with pytest.raises(SourceError, match="code_body is only a body"):
        slice_kernel(None, "saxpy", code_body="  y[0] = 1;\n  if (n) { y[1] = 2; }")
    with pytest.raises(SourceError, match="code_body is only a body"):
        slice_kernel(None, "saxpy", code_body="{ y[0] = 1; }")


def test_the_kernels_condition_is_taken_as_met() -> None:
    """A kernel in an #else brings the helpers of every such #else and none of the other branch."""
    source = (
        "#ifdef FAST\n#define N 1\n#else\n#define N 2\n#endif\n#if DEEP > 2\n#define M 3\n#endif\n"
        "#ifdef FAST\n__global__ void k(int* x) { x[0] = 1; }\n#else\n"
        "__global__ void k(int* x) { x[0] = N + M; }\n#endif\n"
    )
    capsule = slice_kernel(source, "k", code_body="{ x[0] = N + M; }")
    assert "FAST" not in capsule.source
    assert "#define N 2" in capsule.source
    assert "#define N 1" not in capsule.source
    assert "#if DEEP > 2\n#define M 3\n#endif" in capsule.source


def test_branches_are_kept_in_their_order() -> None:
    """A helper that only the #else defines stays in an #else."""
    source = (
        "#ifdef WIDE\nstruct Host {};\n#else\n__device__ int h() { return 1; }\n#endif\n"
        "__global__ void k(int* x) { x[0] = h(); }\n"
    )
    expected = "#ifdef WIDE\n#else\n__device__ int h() { return 1; }\n#endif\n"
    assert expected in slice_kernel(source, "k").source


def test_specialisations_and_instantiations_go() -> None:
    """Of a kernel template the primary definition is kept, and it alone."""
    source = (
        "template <typename T> __global__ void k(T* x) { x[0] = 1; }\n"
        "template <> __global__ void k<int>(int* x) { x[0] = 2; }\n"
        "template __global__ void k<float>(float*);\n"
    )
    capsule = slice_kernel(source, "k")
    assert capsule.source.count("__global__") == 1
    assert "x[0] = 1;" in capsule.source


def test_helper_specialisations_members_and_operators_stay() -> None:
    """Everything that belongs to a type in use comes with the type."""
    source = (
        "template <typename T> struct S { __device__ T get() const; };\n"
        "template <> struct S<float> { };\n"
        "template <typename T> __device__ T S<T>::get() const { return 1; }\n"
        "struct V { int a; };\n__device__ V operator+(V a, V b) { return a; }\n"
        "struct W { int a; };\n__device__ W operator+(W a, W b) { return a; }\n"
        "#pragma pack(push, 4)\n"
        "__global__ void k(int* x) { V v, w; x[0] = (v + w).a + S<int>().get(); }\n"
    )
    text = slice_kernel(source, "k").source
    for kept in ("struct S<float>", "S<T>::get", "V operator+", "#pragma pack(push, 4)"):
        assert kept in text
    assert "struct W" not in text


@pytest.mark.parametrize(
    ("used", "header"),
    [
        ("std::numeric_limits<int>::max()", "limits"),
        ("FLT_MAX", "cfloat"),
        ("sizeof(int64_t)", "cstdint"),
        ("(float)(__half)1.0f", "hip/hip_fp16.h"),
        ("(float)(at::BFloat16)1.0f", "hip/hip_bf16.h"),
    ],
)
def test_headers_that_came_through_torch_are_added(used: str, header: str) -> None:
    """What a kernel got through a dropped header is included by name."""
    source = f"#include <torch/extension.h>\n__global__ void k(float* x) {{ x[0] = {used}; }}"
    capsule = slice_kernel(source, "k")
    assert f"#include <{header}>" in capsule.source
    assert capsule.source.startswith("#include <hip/hip_runtime.h>\n")


def test_host_code_is_not_drawn_in_by_a_name() -> None:
    """A host function or host variable that shares a name with a local stays out."""
    source = (
        "#include <vector>\nint count(std::vector<int> v) { return 1; }\nfloat* data;\n"
        "constexpr int twice(int a) { return 2 * a; }\n"
        "__global__ void k(int* data, int count) { data[0] = twice(count); }\n"
    )
    text = slice_kernel(source, "k").source
    assert "vector" not in text
    assert "float* data;" not in text
    assert "constexpr int twice" in text


@pytest.mark.parametrize(
    "code", ["", "   ", "{", "}", "#if", "k", "__global__", "__global__ void k("]
)
def test_nothing_useful_is_a_source_error(code: str) -> None:
    """Whatever is no source is an error with a message, never a traceback."""
    with pytest.raises(SourceError):
        slice_kernel(code, "k")
    with pytest.raises(SourceError):
        slice_kernel(None, "k", code_body=code)


@settings(deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_as_code_body_never_crashes(code: str, name: str) -> None:
    """Any code_body and any name give a capsule or a SourceError."""
    for source in (None, SAXPY):
        try:
            slice_kernel(source, name or "saxpy", code_body=code)
            slice_kernel(source, "saxpy", code_body=code)
        except SourceError:
            pass


def test_a_vector_type_of_hip_is_not_declared_again() -> None:
    """Files for old compilers declare `double3`; HIP's own is kept instead."""
    capsule = slice_kernel(
        "#if OLD_VERSION < 3\nstruct double3 { double x, y, z; };\n#endif\n"
        "__global__ void k(double* a) { double3 v; v.x = 1; a[0] = v.x; }",
        "k",
    )
    assert "struct" not in capsule.source


def test_a_macro_of_another_build_leaves_torchs_own() -> None:
    """Where the file defines a macro of torch's only under an #ifdef, the stand-in is there too."""
    body = "__global__ void k(float* x, int n) { CUDA_1D_KERNEL_LOOP(i, n) x[i] = 1; }\n"
    own = "#define CUDA_1D_KERNEL_LOOP(i, n) for (int i = 0; i < n; ++i)\n"
    assert "CUDA_KERNEL_LOOP_TYPE" in slice_kernel(f"#ifdef TRT\n{own}#endif\n{body}", "k").source
    assert "CUDA_KERNEL_LOOP_TYPE" not in slice_kernel(own + body, "k").source
    guarded = f"#ifndef CUDA_1D_KERNEL_LOOP\n{own}#endif\n{body}"
    assert "CUDA_KERNEL_LOOP_TYPE" not in slice_kernel(guarded, "k").source
