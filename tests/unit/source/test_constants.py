"""Content for data that only host code would set."""

import re

import pytest

from hipopt.source.constants import with_constants


def test_constant_data_without_a_value_get_one() -> None:
    """Arrays of every shape are filled, and neighbours differ."""
    text = with_constants("#define M 2\n#define N (M+1)\n__constant__ float taps[N][2];\n")
    numbers = re.findall(r"0\.\d+f", text)
    assert len(numbers) == 6
    assert len(set(numbers)) == 6


def test_a_value_that_is_there_stays() -> None:
    """What the source itself initialises is left alone, and so is what is declared elsewhere."""
    for source in ("__constant__ int a = 7;\n", "extern __constant__ int a;\n", "int a;\n"):
        assert with_constants(source) == source


def test_one_name_holds_the_same_in_every_source() -> None:
    """A candidate that declares the reference's data again computes with the same numbers."""
    reference = with_constants("__constant__ float taps[5];\n")
    candidate = with_constants("#define TAPS 5\n// mine\nstatic __constant__ float taps[TAPS];\n")
    assert re.findall(r"0\.\d+f", reference) == re.findall(r"0\.\d+f", candidate)


def test_structs_are_filled_member_by_member() -> None:
    """A struct of numbers, vectors and arrays is filled; two of an array differ."""
    source = "struct P { float3 g; int n[2]; unsigned a, b; };\n__constant__ P p[2];\n"
    numbers = re.findall(r"\b0\.\d+f|\b\d+\b(?!\])", with_constants(source).split("=")[1])
    assert len(numbers) == 14
    assert numbers[:7] != numbers[7:]


def test_lines_stay_where_they_are() -> None:
    """A fault is still reported at the line of the kernel's own text."""
    source = "__constant__ float a[4],\n b;\n__global__ void k(float* x) { x[0] = a[1] + b; }\n"
    assert with_constants(source).count("\n") == source.count("\n")
    assert with_constants(source).splitlines()[2] == source.splitlines()[2]


def test_what_cannot_be_told_is_left() -> None:
    """Pointers and arrays of unknown length stay as they are."""
    for source in ("__constant__ float* p;\n", "__constant__ float a[M];\n"):
        assert with_constants(source) == source


def test_device_data_that_are_only_read_get_a_value() -> None:
    """Scalars, arrays, and what is compared or passed by value are only read."""
    source = """__device__ float scale;
__device__ int table[2][3];
__global__ void k(float* x) {
  if (scale <= x[0] && table[0][1] == 2) x[1] = max(scale, 2.f) + table[1][threadIdx.x % 3];
}
"""
    text = with_constants(source)
    assert re.search(r"scale = 0\.\d+f;", text)
    assert re.search(r"table\[2\]\[3\] = \{\{", text)


@pytest.mark.parametrize(
    "use",
    [
        "n = 1;", "n += 2;", "n <<= 1;", "n++;", "--n;", "atomicAdd(&n, 1);", "int* p = &n;",
        "if (n && &n) return;",
    ],
)  # fmt: skip
def test_device_data_that_are_changed_start_as_written(use: str) -> None:
    """What the kernel counts in, or hands on by address, starts at zero as on a device."""
    source = f"__device__ int n;\n__global__ void k() {{ {use} }}\n"
    assert with_constants(source) == source


@pytest.mark.parametrize("use", ["row[2] = 1;", "fill(row);", "x = &row[1];", "row[0]--;"])
def test_device_arrays_that_are_changed_start_as_written(use: str) -> None:
    """An array handed on whole may be changed by whoever takes it."""
    source = f"__device__ int row[4];\n__global__ void k() {{ {use} }}\n"
    assert with_constants(source) == source
