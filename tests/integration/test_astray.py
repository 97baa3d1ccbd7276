"""Data on which the original leaves its buffers are no yardstick, and all others still are."""

import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.judge.judge import Judge
from hipopt.judge.options import JudgeOptions
from hipopt.records import FAMILIES, Judgement, Verdict
from hipopt.workload.fill import POISONS, fill_workload
from tests.integration.checking import buffer, verdict_on, workload

LIMIT = 2.0
"""Few second elements are larger."""
ORIGINAL = f"""
__global__ void k(const float* x, float* y) {{
    int i = blockIdx.x * 64 + threadIdx.x;
    y[i] = 2 * x[x[1] > {LIMIT}f ? gridDim.x * 64 : i];
}}
"""
"""On these it reads behind the end."""
LAUNCH = workload(buffer("x", 256), buffer("y", 256, "zeros"))


def _seeds() -> tuple[int, ...]:
    """Two of each family; on the data of some the original goes astray, on none of extreme ones."""
    chosen = []
    for number, family in enumerate(FAMILIES):
        drawn = [(n * len(FAMILIES) + number) * len(POISONS) for n in range(1, 200)]
        stray = [s for s in drawn if fill_workload(LAUNCH, s)[0][1] > LIMIT]
        sound = [s for s in drawn if s not in stray]
        chosen += [sound[0], sound[1] if family == "extreme" else stray[0]]
    return tuple(chosen)


def _judged(device: CpuDevice, change: tuple[str, str]) -> Judgement:
    """The verdict on the original, changed so."""
    assert change[0] in ORIGINAL
    judge = Judge(device, JudgeOptions(timing_budget_s=0.2))
    return verdict_on(judge, ORIGINAL, ORIGINAL.replace(*change), "k", LAUNCH, seeds=_seeds())


def test_what_the_original_reads_behind_a_buffer_decides_nothing(cpu_device: CpuDevice) -> None:
    """A candidate that reads something else there is correct; the record tells of other data."""
    judgement = _judged(cpu_device, ("? gridDim.x * 64", "? 0"))
    assert judgement.verdict.correct, judgement.reason
    notes = " ".join(n for n in judgement.workload_notes if "other data" in n)
    stray = [s for s in _seeds() if fill_workload(LAUNCH, s)[0][1] > LIMIT]
    assert len(stray) == 3
    assert all(f"0/{seed}" in notes for seed in stray)
    assert "behind the end" in notes


@pytest.mark.parametrize("change", [(": i]", ": i ^ 1]"), ("2 *", "3 *")])
def test_a_wrong_candidate_is_found_on_other_data(
    cpu_device: CpuDevice, change: tuple[str, str]
) -> None:
    """What goes astray on some data is judged by the others as ever."""
    assert _judged(cpu_device, change).verdict is Verdict.MISMATCH


def test_a_candidate_that_alone_leaves_its_buffers_is_out_of_bounds(cpu_device: CpuDevice) -> None:
    """On data on which the original does not, that is the candidate's own fault."""
    judgement = _judged(cpu_device, (": i]", ": i + 1]"))
    assert judgement.verdict is Verdict.OUT_OF_BOUNDS, judgement.reason
