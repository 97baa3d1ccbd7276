"""Files cut into described pieces."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipopt.errors import SourceError
from hipopt.source.parse import parse
from hipopt.source.tree import first
from tests.unit.source.kernels import SAXPY, TORCH_EXTENSION, TWO_NAMESPACES


def kinds(source: str) -> list[tuple[str, tuple[str, ...]]]:
    """Kind and names of every piece."""
    return [(p.kind, p.names) for p in parse(source).pieces]


def test_kernels_are_found_with_their_namespaces() -> None:
    """Kernels are named by the namespaces around them; extern "C" and attributes don't matter."""
    assert [k.qualified_name for k in parse(TWO_NAMESPACES).kernels] == ["a::k", "b::c::k", "alone"]


def test_a_kernel_in_a_comment_is_none() -> None:
    """Comments and strings hold no kernels."""
    assert [k.qualified_name for k in parse(TORCH_EXTENSION).kernels] == ["scale"]


def test_spans_hold_the_whole_definition() -> None:
    """A piece reaches from its template header to its last brace, whatever strings hold."""
    kernel = parse(TORCH_EXTENSION).kernels[0]
    assert kernel.text.startswith("template <typename scalar_t>")
    assert kernel.text.endswith("y[0] = 1;\n  }\n}")
    assert TORCH_EXTENSION[kernel.start : kernel.end] == kernel.text


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("struct __align__(8) P { int a; };", ("type", ("P",))),
        ("typedef struct { int a; } P, *Q;", ("type", ("P", "Q"))),
        ("typedef float real;", ("type", ("real",))),
        ("using real = float;", ("type", ("real",))),
        ("template <typename T, int N = 3> using V = T[N];", ("type", ("V",))),
        ("enum class E : int { A, B = 2 };", ("type", ("E", "A", "B"))),
        ("template <> struct S<float> { };", ("type", ("S",))),
        ("constexpr int A = 1, B{2};", ("variable", ("A", "B"))),
        ("__constant__ float c[3] = {1, 2, 3};", ("variable", ("c",))),
        ("extern __shared__ float smem[];", ("variable", ("smem",))),
        ("__device__ V operator+(V a, V b) { return a; }", ("function", ("operator+",))),
        ("__device__ float Foo::bar(int a) const { return a; }", ("function", ("Foo",))),
        ("__device__ float bar(int a = f(1));", ("prototype", ("bar",))),
        ("template __global__ void k<float>(float*);", ("instantiation", ("k",))),
        ("struct R f(int a) { return {}; }", ("function", ("f",))),
        ("__device__ auto f(int a) -> int { return a; }", ("function", ("f",))),
        ("static_assert(sizeof(int) == 4, \"\");", ("other", ())),
        ("namespace cg = cooperative_groups;", ("type", ("cg",))),
        ("using std::min;", ("using", ("min",))),
    ],
)  # fmt: skip
def test_pieces_are_told_apart(source: str, expected: tuple[str, tuple[str, ...]]) -> None:
    """Each kind of declaration is known with the names that it declares."""
    found, *rest = parse(source).pieces
    assert (found.kind, not rest) == (expected[0], True)
    assert set(found.names) == set(expected[1])


def test_macro_use_without_semicolon_is_its_own_piece() -> None:
    """A macro's use ends with its line, and what it declares is known by expansion."""
    source = (
        "#define DEF(op, name) __device__ float do_##name(float a, float b) { return a op b; }\n"
        "DEF(+, add)\n__global__ void k(float* x) { x[0] = do_add(1, 2); }\n"
    )
    assert kinds(source)[1:] == [("macro_use", ("DEF", "do_add")), ("function", ("k",))]


def test_kernels_made_by_macros_are_known_as_such() -> None:
    """A kernel that only preprocessing makes is reported with its macro, not found."""
    file = parse("#define K(T) __global__ void k_##T(T* x) { x[0] = 1; }\nK(int)\nK(float);\n")
    assert file.kernels == ()
    assert dict(file.made_by_macro) == {"k_int": "K", "k_float": "K"}


def test_qualifier_macros_make_kernels() -> None:
    """A macro that stands for qualifiers alone counts as these."""
    source = (
        '#define KERNEL extern "C" __global__\n#define R __restrict__\nKERNEL void k(int* R x) {}'
    )
    assert [k.names for k in parse(source).kernels] == [("k",)]


def test_unlike_braces_in_branches() -> None:
    """A definition whose head stands in both branches of an #if is one piece."""
    source = (
        "int before;\n#ifdef A\n__global__ void k(int* x) {\n#else\n"
        "__global__ void k(float* x) {\n#endif\n  x[0] = 1;\n}\nint after;\n"
    )
    pieces = parse(source).pieces
    assert [p.names[0] for p in pieces] == ["before", "k", "after"]
    assert pieces[1].text.startswith("#ifdef A")


def test_extern_c_opened_under_a_condition() -> None:
    """The usual `#ifdef __cplusplus extern "C" {` pair does not unbalance a file."""
    source = (
        '#ifdef __cplusplus\nextern "C" {\n#endif\n__global__ void k(int* x) {}\n'
        "#ifdef __cplusplus\n}\n#endif\n"
    )
    assert [k.names for k in parse(source).kernels] == [("k",)]


def test_include_guard_is_no_condition() -> None:
    """What a guard encloses stands at the top."""
    file = parse("#ifndef A_H\n#define A_H\n__global__ void k(int* x) {}\n#endif  // A_H\n")
    assert [(p.names, p.frames) for p in file.pieces] == [(("k",), ())]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("__global__ void k(int* x) {\n  if (x) {\n", "line 2: opening bracket is never closed"),
        ("__global__ void k(int* x) {}\n}\n", "line 2: '}' closes nothing"),
        ("#if 1\nint a;\n", "line 1: #if without #endif"),
        ("int a;\n#endif\n", "line 2: #endif without #if"),
        ("namespace a {\nint b;\n", "line 1: 'namespace a {' is never closed"),
        ("int a; int b\n", "line 1: declaration never ends"),
    ],
)
def test_what_does_not_match_is_named_by_line(source: str, told: str) -> None:
    """A source that is cut short is an error that names the line."""
    with pytest.raises(SourceError, match=told.replace("(", r"\(")):
        parse(source)


def test_truncation_anywhere_is_no_traceback() -> None:
    """A file cut off at any character parses or raises SourceError."""
    for end in range(0, len(TORCH_EXTENSION), 7):
        try:
            parse(TORCH_EXTENSION[:end])
        except SourceError:
            continue


_SHRED = st.sampled_from([
    "__global__", "void", "k", "(", ")", "{", "}", ";", "template", "<", ">", "#if A\n",
    "\n#else\n", "\n#endif\n", "namespace", "struct", "=", "\n", '"', "/*", "*/", "//", "\\\n",
    "operator", ",", "::", "\n#define M(x) x##y\n", "M(", "[[", "]]", "extern", '"C"', "typedef",
    "using", "enum", "'", "__attribute__", "é", "\x00", "~", 'R"(',
])  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(_SHRED, max_size=30))
def test_shreds_never_crash(shreds: list[str]) -> None:
    """Any order of tokens parses or raises SourceError, nothing else."""
    try:
        for piece in parse(" ".join(shreds)).pieces:
            assert piece.tree is not None
    except SourceError:
        pass


@given(st.text(max_size=80))
def test_any_text_never_crashes(text: str) -> None:
    """Any text at all parses or raises SourceError."""
    with suppress(SourceError):
        parse(text)


def test_line_ends_do_not_matter() -> None:
    """A file with Windows line ends gives the same kernels."""
    crlf = SAXPY.replace("\n", "\r\n")
    assert parse(crlf).kernels[0].text == parse(SAXPY).kernels[0].text


@pytest.mark.parametrize("bound", ["(M)", "(M + 1)", "((M) * 2)"])
def test_a_macro_in_brackets_is_a_number(bound: str) -> None:
    """It bounds an array; only macros of qualifiers alone are taken out for the grammar."""
    source = f"#define M 4\n#define N {bound}\n__constant__ float taps[N];\n"
    (piece,) = (p for p in parse(source).pieces if p.kind == "variable")
    assert piece.qualifiers.isdisjoint({"M", "N"})
    array = first(piece.tree, "array_declarator")
    assert array is not None
    assert array.child_by_field_name("size") is not None
