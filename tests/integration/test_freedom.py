"""How far data vary beyond what a workload declares, with real kernels on the CPU device."""

import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.judge.judge import Judge
from hipopt.judge.options import JudgeOptions, Prepared
from hipopt.judge.qualified import Qualified
from hipopt.records import FAMILIES, Judgement, Verdict, Workload
from tests.integration.checking import buffer, prepare, scalar, verdict_on, workload

N = 250
INDEX = "int i = blockIdx.x * blockDim.x + threadIdx.x;"
AFFINE = f"""__global__ void k(const float* x, const float* w, float* y, float a, int n) {{
    {INDEX} if (i < n) y[i] = a * x[i] * x[i] * w[i % 16]; }}"""
WEIGHED = workload(
    buffer("x", N), buffer("w", 16, "ones"), buffer("y", N, "zeros"),
    scalar("a", 2.0, "float32"), scalar("n", N),
)  # fmt: skip


@pytest.fixture
def judge(cpu_device: CpuDevice) -> Judge:
    return Judge(cpu_device, JudgeOptions(launch_timeout_s=2.0, timing_budget_s=0.2))


def _qualified(judge: Judge, reference: str, given: Workload) -> Qualified:
    prepared = prepare(judge, reference, "k", given)
    assert isinstance(prepared, Prepared), prepared.reason
    return prepared.qualified[0]


def _freed(found: Qualified, argument: int) -> set[str]:
    """The fills that stand in for an argument's, over the families."""
    return {
        freedom.buffers[argument].fill
        for freedom in found.freedoms.values()
        if argument in freedom.buffers
    }


def test_weights_and_scalars_vary_but_for_ordinary_data(judge: Judge) -> None:
    """Ordinary data are as declared; in every other family neither is known beforehand."""
    found = _qualified(judge, AFFINE, WEIGHED)
    assert _freed(found, 1) == {"normal"}
    for family in FAMILIES:
        assert (found.freedoms[family].factors is None) == (family == "ordinary")
    assert found.launch_of("ordinary", 9) == WEIGHED


@pytest.mark.parametrize("known", [("a *", "2.0f *"), ("* w[i % 16]", "")])
def test_a_candidate_that_knows_them_by_heart_is_found(
    judge: Judge, known: tuple[str, str]
) -> None:
    """And the verdict repeats from its seeds, in a judge that qualifies anew."""
    candidate = AFFINE.replace(*known)
    judgement = verdict_on(judge, AFFINE, candidate, "k", WEIGHED)
    assert judgement.verdict is Verdict.MISMATCH
    again = verdict_on(judge, AFFINE, candidate, "k", *judgement.workloads, seeds=judgement.seeds)
    assert isinstance(again, Judgement)
    assert again.mismatch == judgement.mismatch


def test_what_makes_results_infinite_or_nan_is_not_tried_on_candidates(judge: Judge) -> None:
    """A variance of ones becomes another positive one; data with a logarithm stay positive."""
    reference = f"""__global__ void k(const float* x, const float* w, float* y, int n) {{
        {INDEX} if (i < n) y[i] = logf(x[i]) * rsqrtf(w[i % 16]); }}"""
    given = workload(
        buffer("x", N, "uniform"), buffer("w", 16, "ones"), buffer("y", N, "zeros"), scalar("n", N)
    )
    found = _qualified(judge, reference, given)
    assert not _freed(found, 0)
    assert _freed(found, 1) == {"uniform"}


def test_what_leads_out_of_bounds_is_not_tried_on_candidates(judge: Judge) -> None:
    """A number that is scaled to an index keeps its range, and so does the scale.

    But for whole data, which stay so far from the range's end that a slightly larger scale will do.
    """
    reference = f"""__global__ void k(const float* x, const float* t, float* y, float a, int n) {{
        {INDEX} if (i < n) y[i] = 2 * t[(int)(a * x[i])]; }}"""
    given = workload(
        buffer("x", N, "uniform"), buffer("t", 10), buffer("y", N, "zeros"),
        scalar("a", 10.0, "float32"), scalar("n", N),
    )  # fmt: skip
    found = _qualified(judge, reference, given)
    assert not any(freedom.buffers for freedom in found.freedoms.values())
    assert found.freedoms["wide"].factors is None


def test_data_on_which_the_original_hangs_end_the_trials(judge: Judge) -> None:
    """A loop that ends for what is declared only: nothing varies, and the workload counts."""
    reference = f"""__global__ void k(const float* x, float* y, int n) {{
        {INDEX} if (i >= n) return;
        float s = 1.0f; for (float v = x[i] + 1.0f; v < 9.0f; v *= 2.0f) s += v;
        y[i] = s; }}"""
    given = workload(buffer("x", N, "uniform"), buffer("y", N, "zeros"), scalar("n", N))
    found = _qualified(judge, reference, given)
    assert not any(f.buffers for f in found.freedoms.values())
