"""Mutants of kernels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.kernels import BUNDLED, Kernel, KernelChoice, load
from benchmarks.lexemes import lexemes
from benchmarks.mutation import KINDS, Mutant, mutants
from benchmarks.sampling import sample

TEXTS = {
    kernel.label: kernel.capsule.kernel_text
    for kernel in load(KernelChoice(manifests=(BUNDLED,)))
    if isinstance(kernel, Kernel)
}
SUM = """__global__ void total(const float* x, double* out, int* hits, int rows, int cols) {
    __shared__ float part[64];
    int row = blockIdx.x, col = threadIdx.x;
    float sum = 0.0f;
    for (int k = col; k < cols; k += 64) sum += x[row * cols + k];
    part[col] = sum;
    __syncthreads();
    if (col == 0) { double all = 0; for (int k = 0; k < 64; ++k) all += part[k]; out[row] = all; }
    if (sum > static_cast<float>(3)) atomicAdd(&hits[row], 1);
}"""


def edits(text: str) -> set[tuple[str, str, str]]:
    """Kind, what is replaced, and by what, of every mutant."""
    return {(m.kind, text[m.start : m.end], m.replacement) for m in mutants(text)}


def test_every_kind_is_made() -> None:
    """A kernel that gives occasion for all kinds has mutants of all kinds."""
    assert {mutant.kind for mutant in mutants(SUM)} == set(KINDS)


@pytest.mark.parametrize(
    "edit",
    [
        ("off_by_one", "<", "<="),
        ("off_by_one", "", " + 1"),
        ("swapped_operator", "+=", "-="),
        ("negated_condition", "==", "!="),
        ("changed_constant", "0.0f", "1.0f"),
        ("changed_constant", "64", "63"),
        ("wrong_index", "threadIdx", "blockIdx"),
        ("wrong_index", "row", "col"),
        ("narrowed_type", "double", "float"),
        ("narrowed_type", "int", "short"),
        ("loop_bound", "", " - 1"),
        ("dropped_barrier", "__syncthreads()", "(void)0"),
        ("dropped_initialisation", " = 0.0f", ""),
    ],
)
def test_the_mistakes_are_those_that_people_make(edit: tuple[str, str, str]) -> None:
    """Each of the usual mistakes is among the mutants."""
    assert edit in edits(SUM)


def test_an_atomic_operation_becomes_a_plain_one() -> None:
    """The plain update takes the same arguments and returns what was there."""
    (plain,) = (m for m in mutants(SUM) if m.kind == "dropped_atomic")
    assert "*at = was + by; return was;" in plain.applied(SUM)
    assert "(&hits[row], 1)" in plain.applied(SUM)


def test_types_and_parameters_stay() -> None:
    """Nothing before the body is edited, and the brackets of a cast are no comparisons."""
    body = SUM.index("{")
    assert all(mutant.start > body for mutant in mutants(SUM))
    assert not any("static_cast<=" in m.applied(SUM) for m in mutants(SUM))
    assert not any("static_cast<float>=" in m.applied(SUM) for m in mutants(SUM))


@given(label=st.sampled_from(sorted(TEXTS)), data=st.data())
def test_a_mutant_is_one_edit(label: str, data: st.DataObject) -> None:
    """All lexemes but one, or one call or one short value, are those of the kernel."""
    text = TEXTS[label]
    mutant = data.draw(st.sampled_from(mutants(text)))
    old = [token.text for token in lexemes(text)]
    new = [token.text for token in lexemes(mutant.applied(text))]
    replaced = [t for t in lexemes(text) if mutant.start <= t.start < mutant.end]
    if mutant.kind == "dropped_initialisation":
        assert replaced[0].text == "=" or replaced[-1].text == ";"
    elif mutant.kind == "dropped_barrier":
        assert [t.text for t in replaced[1:]] in (["(", ")"], ["(", "-", "1", ")"])
    elif mutant.replacement == "int":
        assert [t.text for t in replaced] == ["long", "long"]
    else:
        assert len(replaced) == (0 if mutant.start == mutant.end else 1)
    begin = next(k for k, t in enumerate(lexemes(text)) if t.start >= mutant.start)
    rest = len(old) - begin - len(replaced)
    assert old[:begin] == new[:begin]
    assert old[len(old) - rest :] == new[len(new) - rest :]
    assert old != new


def test_samples_are_repeatable_and_grow() -> None:
    """The same seed draws the same mutants, a greater count adds to them; all are different."""
    small, again, large = (sample(TEXTS, count, seed=5) for count in (100, 100, 300))
    assert small == again == large[:100]
    assert len({(label, m.applied(TEXTS[label])) for label, m in large}) == 300
    assert sample(TEXTS, 100, seed=6) != small


def test_a_sample_is_spread_over_kernels_and_kinds() -> None:
    """No kernel and no kind of the bundled kernels is left out of the usual sample."""
    drawn = sample(TEXTS, 640, seed=1)
    assert {label for label, _ in drawn} == set(TEXTS)
    assert {mutant.kind for _, mutant in drawn} == set(KINDS)


def test_the_table_shows_the_line() -> None:
    """A person sees which line was changed, and how; the key tells mutants apart."""
    mutant = Mutant(kind="off_by_one", start=SUM.index("k < cols") + 2,
                    end=SUM.index("k < cols") + 3, replacement="<=")  # fmt: skip
    row = mutant.describe(SUM)
    assert row["line"] == 5
    assert row["was"] == "for (int k = col; k < cols; k += 64) sum += x[row * cols + k];"
    assert row["is"] == "for (int k = col; k <= cols; k += 64) sum += x[row * cols + k];"
    assert len({m.describe(SUM)["key"] for m in mutants(SUM)}) == len(mutants(SUM))
