"""Kernels that only copy, told by their text."""

import pytest

from hipopt.source.copies import only_copies
from hipopt.source.slice import slice_kernel
from hipopt.source.usage import Body

HEAD = "__global__ void k(float* a, const float* b, int n) { int i = threadIdx.x;"


def copies(body: str) -> bool:
    return only_copies(Body(slice_kernel(f"{HEAD}{body} }}", "k")))


@pytest.mark.parametrize(
    "body",
    ["a[i] = b[i];", "if (i < n) a[i] = b[ i ];", "for (; i < n; i += blockDim.x) a[i] = b[i];"],
)
def test_elements_that_keep_their_place_are_a_copy(body: str) -> None:
    """Whoever copies such an input has done all that the kernel does."""
    assert copies(body)


@pytest.mark.parametrize(
    "body",
    [
        "a[i] = b[n - i];", "a[i] = b[i] + 0;", "a[i] += b[i];", "a[i] = fmaxf(b[i], 0);",
        "a[i] = b[i]; a[0] = 1;", "a[i] = a[i];", "a[i++] = b[i++];", "*a = b[i];",
        "float* p = a; p[i] = b[i];", "a[i] = b[i]; ++a[i];", "float v = b[i]; a[i] = v;", "n = 3;",
        "a += n; a[i] = b[i];", "a[i -= 1] = b[i -= 1];",
    ],
)  # fmt: skip
def test_anything_else_is_none(body: str) -> None:
    """A place, a value or a way to write that differs makes more than a copy of it."""
    assert not copies(body)
