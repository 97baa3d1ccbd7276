"""Ill-conditioned data: honest rewrites pass on them, and nothing else does for it."""

import numpy as np
import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.judge.execution import Arrays, Runner
from hipopt.judge.judge import Judge
from hipopt.judge.options import JudgeOptions
from hipopt.judge.spread import spread_of
from hipopt.judge.tolerance import Floats
from hipopt.llm.reply import Candidate, parse_reply
from hipopt.records import Judgement, Verdict, Workload
from hipopt.source.slice import slice_kernel
from tests.integration.checking import buffer, scalar, verdict_on, workload
from tests.integration.examples import EXAMPLES, replies
from tests.integration.examples import ROWS as KERNELS

ROWS, WIDTH = 6, 64
CENTRED = """
__global__ void k(const float* x, float* y, int width) {
    __shared__ float part[64];
    const int i = blockIdx.x * width + threadIdx.x;
    part[threadIdx.x] = x[i];
    __syncthreads();
    for (int half = 32; half > 0; half /= 2) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    y[i] = (x[i] - part[0] / width) / 3e-3f + 1.5f;
}
"""
"""One block a row; threads sum in a tree of a power of two, which is exact for equal terms."""
LAUNCH = workload(
    buffer("x", ROWS * WIDTH), buffer("y", ROWS * WIDTH, "zeros"), scalar("width", WIDTH), grid=ROWS
)


def _inputs_spread(device: CpuDevice, source: str, launch: Workload, before: Arrays) -> Floats:
    """How far units of the inputs move each element of the last buffer."""
    code = device.compile(slice_kernel(source, "k"), (), 60.0)
    with Runner(device.open, code, 10.0) as runner:  # type: ignore[arg-type]
        found = spread_of(runner, launch, before, in_any_order=False)
    assert isinstance(found, list)
    return found[-1].inputs


def _rows() -> Arrays:
    x = np.random.default_rng(3).normal(size=(ROWS, WIDTH)).astype(np.float32)
    x[2] = x[2, 0]
    return [x.ravel(), np.zeros(ROWS * WIDTH, np.float32)]


def test_inputs_units_show_what_an_exact_order_hides(cpu_device: CpuDevice) -> None:
    """In a row of equal values all that is left of them is rounding, in every order but one."""
    before = _rows()
    moved = _inputs_spread(cpu_device, CENTRED, LAUNCH, before).reshape(ROWS, WIDTH)
    unit = float(abs(before[0][2 * WIDTH])) * 2.0**-24 / 3e-3
    assert (moved[2] > unit / 4).all()
    assert (moved[2] < 16 * unit).all()


@pytest.mark.parametrize(
    "step", ["x[i] < 1.0f ? 5.0f : 1.0f", "floorf(x[i])", "x[i] * 0.5f >= 0.5f ? 5.0f : 1.0f"]
)
def test_the_step_of_a_comparison_is_not_rounding(cpu_device: CpuDevice, step: str) -> None:
    """An input that just meets a limit is no excuse to get the comparison wrong."""
    source = f"__global__ void k(const float* x, float* y, int width) {{ \
        int i = blockIdx.x * width + threadIdx.x; y[i] = {step} + 0.3f * x[i]; }}"
    before = _rows()
    before[0][::3] = 1.0
    assert (_inputs_spread(cpu_device, source, LAUNCH, before) < 1e-5).all()


@pytest.mark.parametrize(
    ("inputs", "result", "unit"),
    [("float32", "float64", 2.0**-52), ("float16", "float32", 2.0**-23)],
)
def test_units_are_those_of_what_is_computed_in(
    cpu_device: CpuDevice, inputs: str, result: str, unit: float
) -> None:
    """Inputs of a narrower type are exact: their own units are no excuse for lost digits."""
    types = {"float16": "_Float16", "float32": "float", "float64": "double"}
    source = f"""__global__ void k(const {types[inputs]}* x, {types[result]}* y, int width) {{
        int i = blockIdx.x * width + threadIdx.x; y[i] = exp(({types[result]})x[i]); }}"""
    launch = workload(
        buffer("x", ROWS * WIDTH, "normal", inputs), buffer("y", ROWS * WIDTH, "zeros", result),
        scalar("width", WIDTH), grid=ROWS,
    )  # fmt: skip
    x = _rows()[0].astype(inputs)
    moved = _inputs_spread(cpu_device, source, launch, [x, np.zeros(ROWS * WIDTH, result)])
    values = x.astype(np.float64)
    once = np.abs(values) * np.exp(values) * unit
    assert (moved > once / 2).all()
    assert (moved < 4 * once).all()


LAYER_NORM = 104
ROWS_OF_ONE_VALUE = (
    132475045828254, 176563682747951, 228787848685662, 39096847781895, 264191698589577,
)  # fmt: skip
"""Seeds whose data hold rows of one value: there the variance, of which the square root is the
divisor, is nothing but rounding."""


def _judged(device: CpuDevice, change: tuple[str, str] | None) -> Judgement:
    """The verdict on the recorded rewrite of a layer norm, changed so, on these rows."""
    row = KERNELS[LAYER_NORM]
    reply = next(r for r in replies() if (r["id"], r["attempt"]) == (LAYER_NORM, 1))
    parsed = parse_reply(reply["reply"], row["name"])
    assert isinstance(parsed, Candidate)
    assert change is None or change[0] in parsed.code
    return verdict_on(
        Judge(device, JudgeOptions(timing_budget_s=0.2)),
        (EXAMPLES / row["hip_file"]).read_text(),
        parsed.code.replace(*change) if change else parsed.code,
        row["name"],
        *map(Workload.from_json, row["workloads"]),
        seeds=ROWS_OF_ONE_VALUE,
    )


def test_an_honest_layer_norm_of_rows_of_one_value_is_correct(cpu_device: CpuDevice) -> None:
    """Its other order of sums is not exact for them, as the original's happens to be."""
    judgement = _judged(cpu_device, None)
    assert judgement.verdict.correct, judgement.reason


@pytest.mark.parametrize(
    "change",
    [
        ("row[i] - mean;", "(float)(_Float16)row[i] - mean;"),
        ("squares += d * d", "squares = (float)(_Float16)(squares + d * d)"),
    ],
)
def test_a_layer_norm_in_half_is_a_mismatch(cpu_device: CpuDevice, change: tuple[str, str]) -> None:
    """What rows of one value are granted is no excuse for the others."""
    judgement = _judged(cpu_device, change)
    assert judgement.verdict is Verdict.MISMATCH, judgement.reason
