"""Answers spliced into the reference's place."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipopt.records import Verdict
from hipopt.source.capsule import Capsule
from hipopt.source.merge import replace_body
from hipopt.source.parse import parse
from hipopt.source.slice import slice_kernel
from hipopt.source.splice import SpliceFailure, splice
from tests.unit.source.kernels import SAXPY, TORCH_EXTENSION

REFERENCE = slice_kernel(SAXPY, "saxpy")
HEAD = "__global__ void saxpy(const float* x, float* y, float a, int n)"


def spliced(code: str, reference: Capsule = REFERENCE) -> Capsule:
    """The candidate; fails the test where there is none."""
    candidate = splice(reference, code)
    assert isinstance(candidate, Capsule), candidate
    return candidate


def failed(code: str, reference: Capsule = REFERENCE) -> SpliceFailure:
    """The failure; fails the test where there is a candidate."""
    failure = splice(reference, code)
    assert isinstance(failure, SpliceFailure)
    return failure


@pytest.mark.parametrize(
    "code",
    [
        "{ y[0] = BLOCK; }",
        "y[0] = BLOCK;",
        HEAD + " { y[0] = BLOCK; }",
        "#include <iostream>\n#define BLOCK 256\n" + HEAD + " { y[0] = BLOCK; }\n"
        "int main() { saxpy<<<1, 2>>>(0, 0, 0, 0); std::cout << 1; }",
    ],
)
def test_every_shape_of_answer(code: str) -> None:
    """A body with or without braces, a function and a whole file all do."""
    candidate = spliced(code)
    assert "y[0] = BLOCK;" in candidate.kernel_text
    assert candidate.source.count("__global__") == 1
    assert candidate.source.count("#define BLOCK 256") == 1
    assert "iostream" not in candidate.source
    assert candidate.kernel == "saxpy"


def test_the_same_kernel_gives_the_same_capsule() -> None:
    """Splicing a reference into itself changes nothing."""
    for reference in (REFERENCE, slice_kernel(TORCH_EXTENSION, "scale")):
        assert splice(reference, reference.kernel_text) == reference
        assert splice(reference, reference.source) == reference


def test_own_definitions_replace_those_of_the_reference() -> None:
    """A macro that the candidate turns into a constant is there once, before what uses it."""
    reference = slice_kernel(
        "#define N 4\n__device__ int h(int a) { return a * N; }\n"
        "__device__ float h(float a) { return a; }\n"
        "__global__ void k(int* x) { x[0] = h(1) + (int)h(1.0f); }\n",
        "k",
    )
    candidate = spliced(
        "constexpr int N = 8;\n__device__ int h(int b) { return N - b; }\n"
        "__global__ void k(int* x) { x[0] = h(2) + (int)h(1.0f); }",
        reference,
    )
    assert "#define N" not in candidate.source
    assert candidate.source.count("int h(int") == 1
    assert "float h(float a)" in candidate.source
    assert candidate.source.index("constexpr int N = 8;") < candidate.source.index("N - b")


def test_a_redefined_macro_comes_before_the_helpers_that_use_it() -> None:
    """What a kept helper needs of the candidate stands above the helper."""
    reference = slice_kernel(
        "#define N 4\nstruct S { int a[N]; };\n__global__ void k(S* s) { s->a[0] = 1; }", "k"
    )
    source = spliced("#define N 8\n__global__ void k(S* s) { s->a[1] = 1; }", reference).source
    assert source.index("#define N 8") < source.index("struct S")


def test_new_helpers_move_into_the_kernels_namespace() -> None:
    """An answer without namespaces is put where the reference's kernel stands."""
    reference = slice_kernel("namespace a { __global__ void k(int* x) {} }", "k")
    candidate = spliced(
        "__device__ int h() { return 1; }\n__global__ void k(int* x) { x[0] = h(); }", reference
    )
    assert candidate.kernel == "a::k"
    assert candidate.source.count("namespace a {") == 1


def test_qualifier_macros_of_the_reference_hold_for_the_answer() -> None:
    """A kernel may be marked by a macro that only the reference defines."""
    reference = slice_kernel("#define KERNEL __global__\nKERNEL void k(int* x) {}", "k")
    assert "x[0] = 1;" in spliced("KERNEL void k(int* x) { x[0] = 1; }", reference).source


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("I can't improve this kernel.", "expected a kernel named 'saxpy', found no kernel"),
        ("", "found no kernel"),
        ("__global__ void fast_saxpy(float* x) {}", "named 'saxpy', found 'fast_saxpy'"),
        ("void saxpy(float* x) {}", "not __global__"),
        (HEAD + " { if (n) {", "never closed"),
        ("{ y[0] = 1; } }", "closes nothing"),
        ("int main() { return 0; }", "found no kernel"),
    ],
)
def test_malformed_answers(code: str, reason: str) -> None:
    """An answer without the kernel is malformed, with a reason to send back."""
    failure = failed(code)
    assert failure.malformed
    assert reason in failure.reason


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ("const float* x, float* y, float a", "takes 4 arguments and this kernel 3"),
        ("const float* x, float* y, double a, int n", "parameter 3 is 'double a'"),
        ("const float* x, float y, float a, int n", "parameter 2 is 'float y'"),
    ],
)
def test_other_arguments_are_rejected(parameters: str, reason: str) -> None:
    """A kernel that takes other arguments is rejected, and told what was expected."""
    failure = failed(f"__global__ void saxpy({parameters}) {{}}")
    assert failure.verdict is Verdict.REJECTED
    assert reason in failure.reason


def test_spelling_of_types_is_free() -> None:
    """Names, const, restrict, typedefs and the template parameter's name may differ."""
    spliced(
        "typedef float real;\n__global__ void saxpy(real* __restrict__ in, float out[], "
        "const real s, const int32_t len) {}"
    )
    reference = slice_kernel("template <typename T, int N> __global__ void k(const T* x) {}", "k")
    spliced("template <class U, int M> __global__ void k(U* y) {}", reference)
    assert "template parameters" in failed("__global__ void k(float* x) {}", reference).reason


@pytest.mark.parametrize(
    "header", ['"/etc/passwd"', "<../../secret.h>", '"../x.h"', "</proc/self/maps>"]
)
def test_includes_by_path_are_rejected(header: str) -> None:
    """No file is included by its path."""
    failure = failed(f"#include {header}\n{HEAD} {{}}")
    assert failure.verdict is Verdict.REJECTED
    assert header in failure.reason


_STATEMENTS = st.lists(
    st.sampled_from([
        "x[0] = 1;", "if (n > 1) { x[1] = n; }", "// } comment {", 'const char* s = "}{";',
        "#ifdef A\n  if (n) {\n#else\n  {\n#endif\n  x[2] = 0; }", "/* __global__ void no() { */",
        "for (int i = 0; i < n; ++i) x[i] += i;", "x[3] = '}';", "auto r = R\"(}})\";",
        "#pragma unroll\n  for (;;) break;", "x[4] = n < 3 ? 1 : 2;  // größer",
    ]),
    max_size=5,
)  # fmt: skip
_HEADS = st.sampled_from([
    "__global__ void {}(float* x, int n)",
    "template <typename T, int N = (3 > 2)>\n__global__ void {}(T* x, int n)",
    'extern "C" __global__ void __launch_bounds__(64) {}(float* __restrict__ x, int n)',
    "static __global__ __attribute__((amdgpu_waves_per_eu(2))) void {}(const float x[], int n = 3)",
])  # fmt: skip


@st.composite
def _files(draw: st.DrawFn) -> tuple[str, int, int]:
    """A file of kernels between other things, how many there are, and one of them."""
    count = draw(st.integers(1, 4))
    parts = ["#include <hip/hip_runtime.h>\n#define A2 3\nstruct S { int a; };"]
    for index in range(count):
        body = "\n  ".join(draw(_STATEMENTS))
        kernel = f"{draw(_HEADS).format(f'k{index}')} {{\n  {body}\n}}"
        if draw(st.booleans()) and "template" not in kernel and "extern" not in kernel:
            kernel = f"namespace n{index} {{\n{kernel}\n}}"
        parts.append(kernel)
        parts.append(draw(st.sampled_from(["", "int host() { return 1; }", "// done", ";"])))
    return "\n".join(parts), count, draw(st.integers(0, count - 1))


@settings(max_examples=150, deadline=None)
@given(_files(), _STATEMENTS)
def test_replacing_a_body_changes_one_kernel(
    made: tuple[str, int, int], statements: list[str]
) -> None:
    """In a file with one body replaced and parsed again, just that kernel differs."""
    source, count, chosen = made
    before = parse(source).kernels
    assert len(before) == count
    kernel = before[chosen]
    new = replace_body(kernel.text, "{\n  int marker = 1;\n  " + "\n  ".join(statements) + "\n}")
    after = parse(source[: kernel.start] + new + source[kernel.end :]).kernels
    changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a.text != b.text]
    assert changed == [chosen]
    assert after[chosen].text == new


@settings(max_examples=100, deadline=None)
@given(_files(), _STATEMENTS)
def test_a_spliced_body_is_the_kernels(made: tuple[str, int, int], statements: list[str]) -> None:
    """A spliced capsule holds one kernel, whose body is the answer's, and splices again."""
    source, _, chosen = made
    reference = slice_kernel(source, f"k{chosen}")
    body = "{\n  int marker = 1;\n  " + "\n  ".join(statements) + "\n}"
    candidate = spliced(body, reference)
    assert [k.text for k in parse(candidate.source).kernels] == [candidate.kernel_text]
    assert candidate.kernel_text.endswith(body)
    assert candidate.parameters == reference.parameters
    assert spliced(reference.kernel_text, candidate).kernel_text == reference.kernel_text


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_answer_gives_a_value(code: str) -> None:
    """No answer raises."""
    assert splice(REFERENCE, code) is not None
