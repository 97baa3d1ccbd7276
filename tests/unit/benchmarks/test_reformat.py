"""A kernel's text written otherwise."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.kernels import BUNDLED, Kernel, KernelChoice, load
from benchmarks.lexemes import lexemes
from benchmarks.reformat import STYLES, Style, local_names, rewritten
from hipopt.source.slice import slice_kernel

KERNELS = [k for k in load(KernelChoice(manifests=(BUNDLED,))) if isinstance(k, Kernel)]

TRICKY = """
#define NEXT(a) ((a) + step)
#define TILE 8
struct Pair { float left, right; };
__device__ float twice(float x) { return 2.0f * x; }
template <typename T>
__global__ void tricky(const T* __restrict__ in, T* out, Pair pair, int n) {
    // comment with n
    int step = 1; int left = 0xE +1; /* here */ long big = n / - -1;
    #pragma unroll
    for (int x = 0; x < n; x++) { left += x<<=0; out[NEXT(x)] = twice(pair.left) + in[x]; }
    for (auto item : {1, 2}) out[item] = left - -item;
    if (n >= TILE) out[0] = n > 1 ? 1.f : .5f;
}
"""


def meanings(text: str) -> list[str]:
    """The lexemes, names aside: each new word stands for the number of its first appearance."""
    return [re.sub(r"\s+", " ", token.text) for token in lexemes(text)]


@pytest.mark.parametrize("style", STYLES)
@given(kernel=st.sampled_from(KERNELS), seed=st.integers(0, 1 << 32))
def test_only_names_differ(style: Style, kernel: Kernel, seed: int) -> None:
    """Token by token the new text is the old one, each name replaced by one name of its own."""
    old = meanings(kernel.capsule.kernel_text)
    new = meanings(rewritten(kernel.capsule, style, seed))
    assert len(old) == len(new)
    pairs = {(a, b) for a, b in zip(old, new, strict=True) if a != b}
    assert {a for a, _ in pairs} == local_names(kernel.capsule)
    assert len({b for _, b in pairs}) == len(pairs)
    assert {b for _, b in pairs}.isdisjoint(old)


def test_names_with_another_meaning_stay() -> None:
    """What a macro means, a member, a type and what stands around the kernel are not renamed."""
    names = local_names(slice_kernel(TRICKY, "tricky"))
    assert names == {"in", "out", "pair", "n", "big", "x", "item", "left"}


@pytest.mark.parametrize("style", STYLES)
def test_operators_and_members_stay_whole(style: Style) -> None:
    """No new text joins or splits an operator, a number or a directive, or renames a member."""
    capsule = slice_kernel(TRICKY, "tricky")
    text = rewritten(capsule, style, 3)
    assert len(meanings(text)) == len(meanings(capsule.kernel_text))
    assert "comment" not in text
    assert "\n    #pragma unroll\n" in text or "\n#pragma unroll\n" in text
    assert re.search(r"\.\s*left", text)
    assert re.search(r"0xE\s+\+\s*1", text)


def test_the_styles_differ() -> None:
    """Every style gives each bundled kernel another text."""
    for kernel in KERNELS:
        texts = {rewritten(kernel.capsule, style, 0) for style in STYLES}
        assert len(texts | {kernel.capsule.kernel_text}) == len(STYLES) + 1
