"""Measuring with real kernels in real processes."""

import msgspec
import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.device.interface import CompileFailure
from hipopt.judge.judge import Judge
from hipopt.judge.measure import FEWEST_ROUNDS, measure
from hipopt.judge.objection import Objection
from hipopt.judge.options import JudgeOptions, Prepared
from hipopt.judge.statistics import LEAST_FLOOR
from hipopt.judge.twin import build_twins
from hipopt.records import Timing, Verdict, Workload
from hipopt.source.slice import slice_kernel

KERNEL = """__global__ void work(const float* x, float* y) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float s = x[i];
    for (int k = 0; k < 300; ++k) s = 1.0f / (s + 1.5f);
    y[i] = s + x[i];
}
"""
LESS = KERNEL.replace("300", "100")  # the loop has long come to its fixed point
WRONG = LESS.replace("s + x[i]", "s + x[i] * 1.01f")
WORKLOAD = Workload.from_json(
    {
        "grid": [16],
        "block": [128],
        "args": [
            {"name": "x", "buffer": "float32", "length": 2048, "fill": "uniform"},
            {"name": "y", "buffer": "float32", "length": 2048},
        ],
    }
)


@pytest.fixture
def prepared(cpu_device: CpuDevice) -> Prepared:
    found = Judge(cpu_device).prepare(slice_kernel(KERNEL, "work"), (WORKLOAD,))
    assert isinstance(found, Prepared), found.reason
    return found


def measured(device: CpuDevice, prepared: Prepared, source: str) -> tuple[Verdict, Timing]:
    code = device.compile(slice_kernel(source, "work"), (), 60.0)
    assert not isinstance(code, CompileFailure), code.output
    with device.exclusive():
        return measure(device, JudgeOptions(), prepared, code, 0, 7)


def test_a_winner_is_measured_twice(cpu_device: CpuDevice, prepared: Prepared) -> None:
    """A third of the work is faster, says so twice, and the record tells how it was found."""
    verdict, timing = measured(cpu_device, prepared, LESS)
    assert verdict is Verdict.FASTER
    assert timing.confirmed
    assert timing.rounds >= 2 * FEWEST_ROUNDS
    assert timing.low > max(1.05, timing.noise_floor)
    assert timing.noise_floor >= LEAST_FLOOR
    assert timing.candidate_time_us < timing.reference_time_us


def test_equal_kernels_are_not_told_apart(cpu_device: CpuDevice, prepared: Prepared) -> None:
    """The same code on other lines is neither faster nor slower; nothing is confirmed."""
    verdict, timing = measured(cpu_device, prepared, "\n\n" + KERNEL)
    assert verdict in {Verdict.SAME, Verdict.INCONCLUSIVE}
    assert not timing.confirmed


def test_timed_launches_are_checked(cpu_device: CpuDevice, prepared: Prepared) -> None:
    """A candidate that is wrong is found out by the timing alone, which names the seed."""
    with pytest.raises(Objection, match="'y' differs") as caught:
        measured(cpu_device, prepared, WRONG)
    assert caught.value.verdict is Verdict.MISMATCH
    assert caught.value.evidence["mismatch"].seed == 7


def test_the_second_build_is_another_program(cpu_device: CpuDevice, prepared: Prepared) -> None:
    """Other bytes, from the same kernel; a reference that can't take it has none."""
    twin = prepared.twins[()]
    original = prepared.codes[()]
    assert twin.parameters == original.parameters
    assert twin.path.read_bytes() != original.path.read_bytes()
    taken = "__device__ int hipopt_twin_tail;\n" + prepared.reference.source
    clash = msgspec.structs.replace(prepared.reference, source=taken)
    assert build_twins(cpu_device, clash, [()], 60.0) == {}
