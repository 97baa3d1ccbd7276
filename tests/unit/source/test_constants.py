"""Content for data that only host code would set."""

import re

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
