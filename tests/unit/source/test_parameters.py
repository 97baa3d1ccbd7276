"""Parameters of kernels and their dtypes."""

import pytest

from hipopt.source.parameters import dtype_of, type_key
from hipopt.source.slice import slice_kernel


@pytest.mark.parametrize(
    ("declared", "pointer", "const", "dtype"),
    [
        ("float* x", True, False, "float32"),
        ("const float* __restrict__ x", True, True, "float32"),
        ("float const* __restrict x", True, True, "float32"),
        ("float* const x", True, False, "float32"),
        ("const double x[]", True, True, "float64"),
        ("float x[16]", True, False, "float32"),
        ("int x", False, False, "int32"),
        ("const int x", False, True, "int32"),
        ("unsigned x", False, False, "uint32"),
        ("unsigned long long int x", False, False, "uint64"),
        ("long x", False, False, "int64"),
        ("std::size_t x", False, False, "uint64"),
        ("int64_t* x", True, False, "int64"),
        ("const unsigned char* x", True, True, "uint8"),
        ("bool x", False, False, "bool"),
        ("__half* x", True, False, "float16"),
        ("const _Float16* x", True, True, "float16"),
        ("__hip_bfloat16* x", True, False, "bfloat16"),
        ("hip_bfloat16 x", False, False, "bfloat16"),
        ("real* x", True, False, "float64"),
        ("const index_type n = 4", False, True, "int32"),
        ("REAL* x", True, False, "float32"),
        ("at::Half* x", True, False, "float16"),
        ("float4* x", True, False, None),
        ("Pair x", False, False, None),
        ("float** x", True, False, None),
        ("int& x", False, False, None),
        ("Vec<int*> x", False, False, None),
    ],
)
def test_a_parameter_is_read(declared: str, pointer: bool, const: bool, dtype: str | None) -> None:
    """Pointer, const and dtype are read from the declaration, aliases resolved."""
    source = (
        "#define REAL float\ntypedef double real;\nusing index_type = int;\n"
        "struct Pair { int a, b; };\ntemplate <typename T> struct Vec { T t; };\n"
        f"__global__ void k({declared}) {{}}"
    )
    (parameter,) = slice_kernel(source, "k").parameters
    assert (parameter.is_pointer, parameter.is_const, parameter.dtype) == (pointer, const, dtype)
    assert parameter.name in ("x", "n")


def test_types_are_given_as_written() -> None:
    """`type_text` is the declaration without the name and the default."""
    source = "__global__ void k(const float * __restrict__ x, int n = 3, void*) {}"
    parameters = slice_kernel(source, "k").parameters
    assert [p.type_text for p in parameters] == ["const float* __restrict__", "int", "void*"]
    assert [p.name for p in parameters] == ["x", "n", "arg2"]


def test_no_parameters() -> None:
    """`()` and `(void)` are no parameters."""
    assert slice_kernel("__global__ void k() {}", "k").parameters == ()
    assert slice_kernel("__global__ void k(void) {}", "k").parameters == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("const float* __restrict__", "float*"),
        ("float const[]", "float*"),
        ("unsigned int", "uint32_t"),
        ("long long", "int64_t"),
        ("const Vec<T, 3>", "Vec<T,3>"),
    ],
)
def test_spellings_of_one_type(one: str, other: str) -> None:
    """Two spellings that take the same argument have one key."""
    assert type_key(one, {}) == type_key(other, {})


@pytest.mark.parametrize(
    ("one", "other"),
    [("float*", "double*"), ("int", "int*"), ("int", "unsigned"), ("int&", "int"), ("A*", "B*")],
)
def test_unlike_types_differ(one: str, other: str) -> None:
    """Types that take different arguments have different keys."""
    assert type_key(one, {}) != type_key(other, {})


def test_nothing_is_no_dtype() -> None:
    """An empty or unknown type has no dtype."""
    assert dtype_of("") is None
    assert dtype_of("void") is None
