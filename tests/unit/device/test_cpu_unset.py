"""Local variables that nothing was put into are marked where the text allows it, and only there."""

from __future__ import annotations

import pytest

from hipopt.device.cpu.unset import with_unset_marked

MARK = " = ::hipopt::unset<{}>()"


@pytest.mark.parametrize(
    ("declaration", "marked"),
    [
        ("float m;", f"float m{MARK.format('float')};"),
        ("// why\n  unsigned int a, b;",
         f"// why\n  unsigned int a{MARK.format('unsigned int')}, b{MARK.format('unsigned int')};"),
        ("for (int i = 0;;) { T t; } float m;",
         f"for (int i = 0;;) {{ T t{MARK.format('T')}; }} float m{MARK.format('float')};"),
    ],
)  # fmt: skip
def test_bare_declarations_are_marked(declaration: str, marked: str) -> None:
    """With their own type, each on its own line as before."""
    frame = "template <class T> __global__ void k(float* a) {{ {} }}\n"
    assert with_unset_marked(frame.format(declaration)) == frame.format(marked)


@pytest.mark.parametrize(
    "declaration",
    [
        "__shared__ float s;", "extern __shared__ float s[];", "static int z;", "const int c = 4;",
        "float *p;", "float arr[4];", "volatile int v;", "auto w = 3;", "float f = 1;",
        "struct S { float a; int b; };",
    ],
)  # fmt: skip
def test_others_stay(declaration: str) -> None:
    """What is shared, static, qualified, set, or no plain variable."""
    text = f"__global__ void k(float* a) {{ {declaration} }}\nfloat global;\n"
    assert with_unset_marked(text) == text
