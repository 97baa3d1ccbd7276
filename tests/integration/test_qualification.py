"""Which workloads count, with real kernels on the CPU device."""

import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.judge.judge import Judge
from hipopt.judge.options import JudgeOptions, Prepared
from hipopt.judge.qualified import Qualified
from hipopt.records import FAMILIES, Judgement, Verdict, Workload
from tests.integration.checking import buffer, prepare, scalar, workload

N = 250
INDEX = "int i = blockIdx.x * blockDim.x + threadIdx.x;"
SCALE = (
    f"__global__ void k(const float* x, float* y, int n) {{ {INDEX} if (i < n) y[i] = 3 * x[i]; }}"
)
PLAIN = workload(buffer("x", N), buffer("y", N, "zeros"), scalar("n", N))


@pytest.fixture
def judge(cpu_device: CpuDevice) -> Judge:
    return Judge(cpu_device, JudgeOptions(launch_timeout_s=2.0))


def _qualified(judge: Judge, reference: str, given: Workload) -> Qualified:
    prepared = prepare(judge, reference, "k", given)
    assert isinstance(prepared, Prepared), prepared.reason
    return prepared.qualified[0]


def _objection(judge: Judge, reference: str, *given: Workload) -> str:
    judgement = prepare(judge, reference, "k", *given)
    assert isinstance(judgement, Judgement)
    assert judgement.verdict is Verdict.UNVERIFIABLE
    return judgement.reason


def test_a_plain_kernel_counts_on_all_families(judge: Judge) -> None:
    """Outputs are told from inputs, rounding is measured, nothing is left out."""
    found = _qualified(judge, SCALE, PLAIN)
    assert found.outputs == (False, True)
    assert found.families == FAMILIES
    assert found.measured
    assert found.screened
    assert not found.any_order


def test_qualifying_repeats_itself(judge: Judge) -> None:
    """Its data are fixed, so that a replayed verdict rests on the same workloads and families."""
    first, again = (_qualified(judge, SCALE, PLAIN) for _ in range(2))
    assert (first.families, first.outputs, first.scales) == (
        again.families,
        again.outputs,
        again.scales,
    )


def test_a_family_on_which_the_original_fails_is_left_out(judge: Judge) -> None:
    """Where a family makes the original divide by zero, it is left out, and the record says so."""
    reference = f"""__global__ void k(const int* x, int* y, int n) {{
        {INDEX} if (i < n) y[i] = 2147483647 / x[i]; }}"""
    given = workload(
        buffer("x", N, "uniform", "int32", low=-3, high=-1),
        buffer("y", N, "zeros", "int32"), scalar("n", N),
    )  # fmt: skip
    assert _qualified(judge, reference, given).families == FAMILIES
    risky = workload(
        buffer("x", N, "uniform", "int32", low=0, high=1 << 30),
        buffer("y", N, "zeros", "int32"), scalar("n", N),
    )  # fmt: skip
    prepared = prepare(judge, reference, "k", risky)
    assert isinstance(prepared, Prepared), prepared.reason
    assert prepared.qualified[0].families == ("ordinary",)
    assert any("no extreme data: the original fails" in note for note in prepared.notes)


def test_a_family_without_finite_results_is_left_out(judge: Judge) -> None:
    """Where most results are infinite, hardly anything is compared."""
    reference = SCALE.replace("3 * x[i]", "rintf(x[i]) == x[i] ? 1.0f / 0.0f : 3 * x[i]")
    found = _qualified(judge, reference, PLAIN)
    assert "ordinary" in found.families
    assert "whole" not in found.families


def test_every_output_must_depend_on_the_inputs(judge: Judge) -> None:
    """A second output that is always the same makes the workload useless for it."""
    both = SCALE.replace("float* y", "float* y, float* z").replace(
        "3 * x[i];", "3 * x[i], z[i] = i;"
    )
    given = workload(
        buffer("x", N), buffer("y", N, "zeros"), buffer("z", N, "zeros"), scalar("n", N)
    )
    assert "'z' doesn't depend on the inputs" in _objection(judge, both, given)
    fixed = both.replace("z[i] = i", "z[i] = x[i] + i")
    assert _qualified(judge, fixed, given).outputs == (False, True, True)


def test_an_end_whose_loss_is_within_tolerance_does_not_count(judge: Judge) -> None:
    """Where the last elements' share vanishes in a float sum, leaving them out would pass."""
    reference = f"""__global__ void k(const float* x, float* y, int n) {{
        {INDEX} if (i < n) atomicAdd(y, x[i] * (blockIdx.x == 3 ? 3e-7f : 1.0f)); }}"""
    given = workload(buffer("x", N), buffer("y", 1, "normal"), scalar("n", N))
    assert "one less than 'n' would pass" in _objection(judge, reference, given)
    honest = reference.replace("3e-7f", "1.0f")
    assert _qualified(judge, honest, given).any_order


def test_a_last_iteration_without_effect_does_not_count(judge: Judge) -> None:
    """Where the last step of a counted loop vanishes in rounding, one step less would pass."""
    reference = f"""__global__ void k(const float* x, float* y, int n, int terms) {{
        {INDEX} if (i >= n) return;
        float sum = 0; for (int t = 0; t < terms; ++t) sum += x[i] * powf(0.01f, t);
        y[i] = sum; }}"""

    def given(terms: int) -> Workload:
        return workload(
            buffer("x", N), buffer("y", N, "zeros"), scalar("n", N), scalar("terms", terms)
        )

    assert _qualified(judge, reference, given(2))
    assert "one less than 'terms'" in _objection(judge, reference, given(4))


def test_blocks_beyond_the_data_and_strides_over_the_grid_are_no_objection(judge: Judge) -> None:
    """A grid with a block too many, and one that threads stride over, qualify."""
    ample = workload(buffer("x", N), buffer("y", N, "zeros"), scalar("n", N), grid=9)
    assert _qualified(judge, SCALE, ample)
    strided = SCALE.replace("if (i < n)", "for (; i < n; i += gridDim.x * blockDim.x)")
    assert _qualified(judge, strided, PLAIN)


def test_a_strided_grid_whose_sums_depend_on_order_is_no_objection(judge: Judge) -> None:
    """One block less adds the same up in another order; what is really left out still shows."""
    reference = f"""__global__ void k(const float* x, float* y, int n) {{
        {INDEX} for (; i < n; i += gridDim.x * blockDim.x)
        atomicAdd(&y[i % 5], x[i] * (i >= 192 ? LAST : 1.0f)); }}"""
    given = workload(buffer("x", N), buffer("y", 5, "normal"), scalar("n", N))
    assert _qualified(judge, reference.replace("LAST", "1.0f"), given).any_order
    reason = _objection(judge, reference.replace("LAST", "3e-7f"), given)
    assert "one less than 'n' would pass" in reason


def test_an_original_that_depends_on_thread_order_is_unverifiable(judge: Judge) -> None:
    """A missing barrier in the original shows when its threads run in another order."""
    reference = f"""__global__ void k(const float* x, float* y, int n) {{
        __shared__ float s[64]; {INDEX} s[threadIdx.x] = i < n ? x[i] : 0;
        BARRIER if (i < n) y[i] = s[63 - threadIdx.x] + s[threadIdx.x]; }}"""
    racy = reference.replace("BARRIER", "")
    reason = _objection(judge, racy, PLAIN)
    assert "order of its threads" in reason or "lockstep" in reason
    assert _qualified(judge, reference.replace("BARRIER", "__syncthreads();"), PLAIN)


def test_atomic_sums_qualify_with_the_spread_of_their_order(judge: Judge) -> None:
    """Float atomics give other last digits in another order; that is measured, not refused."""
    reference = f"""__global__ void k(const float* x, const int* key, float* bins, int n) {{
        {INDEX} if (i < n) atomicAdd(&bins[key[i]], x[i]); }}"""
    given = workload(
        buffer("x", N), buffer("key", N, "index", "int32", below=5), buffer("bins", 5, "normal"),
        scalar("n", N),
    )  # fmt: skip
    found = _qualified(judge, reference, given)
    assert found.any_order
    assert found.outputs == (False, False, False)


def test_poison_in_an_index_does_not_end_the_look(judge: Judge) -> None:
    """A writable buffer of indices that poison would lead astray is found to be no output."""
    reference = f"""__global__ void k(const float* x, int* next, float* y, int n) {{
        {INDEX} if (i < n) {{ y[i] = 3 * x[next[i]]; next[i] = 0; }} }}"""
    given = workload(
        buffer("x", N), buffer("next", N, "index", "int32"), buffer("y", N, "zeros"), scalar("n", N)
    )
    assert _qualified(judge, reference, given).outputs == (False, False, True)


def test_data_that_are_never_drawn_prove_nothing(judge: Judge) -> None:
    """Where every fill is fixed, a candidate could hold the results ready."""
    given = workload(buffer("x", N, "iota"), buffer("y", N, "zeros"), scalar("n", N))
    assert "no data are drawn" in _objection(judge, SCALE, given)


def test_an_original_that_strays_in_the_instrumented_build_does_not_count(judge: Judge) -> None:
    """A read that the padding behind a buffer would forgive is seen there."""
    reference = SCALE.replace("3 * x[i]", "3 * x[i] + (x[i + 1] > 1e30f)")
    judgement = prepare(judge, reference, "k", PLAIN)
    assert isinstance(judgement, Judgement)
    assert judgement.verdict is Verdict.REFERENCE_ERROR
    assert "behind the end of argument 1 'x'" in judgement.reason
