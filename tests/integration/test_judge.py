"""The judge on the CPU device, with real kernels and a real compiler."""

from collections.abc import Callable

import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.judge.judge import Judge
from hipopt.judge.options import JudgeOptions, Prepared
from hipopt.records import Judgement, Verdict, Workload
from hipopt.source.slice import slice_kernel
from hipopt.source.splice import SpliceFailure, splice

N = 5000
SAXPY = """
__global__ void saxpy(const float* x, float* y, float a, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) { y[i] = a * x[i] + y[i]; }
}
"""
SLOW_EXP = """
__global__ void soft(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float total = 0.0f;
    for (int k = 0; k < 40; ++k) total += expf(x[i] * 0.01f);
    y[i] = total;
}
"""
FAST_EXP = """
__global__ void soft(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 40.0f * expf(x[i] * 0.01f);
}
"""


def _workload(*args: dict[str, object], n: int = N) -> Workload:
    return Workload.from_json({"grid": [(n + 255) // 256], "block": [256], "args": list(args)})


def _buffer(name: str, fill: str = "normal", length: int = N, **rest: object) -> dict[str, object]:
    return {"name": name, "buffer": "float32", "length": length, "fill": fill, **rest}


def _count(n: int = N) -> dict[str, object]:
    return {"name": "n", "scalar": "int32", "value": n}


A = {"name": "a", "scalar": "float32", "value": 2.0}
SAXPY_WORKLOAD = _workload(_buffer("x"), _buffer("y"), A, _count())
SOFT_WORKLOAD = _workload(_buffer("x"), _buffer("y", "zeros"), _count())

Verify = Callable[[str, str, str, Workload | None], Judgement]


@pytest.fixture
def judge(cpu_device: CpuDevice) -> Judge:
    return Judge(cpu_device, JudgeOptions(launch_timeout_s=2.0))


@pytest.fixture
def verify(judge: Judge) -> Verify:
    def run(reference: str, candidate: str, name: str, workload: Workload | None) -> Judgement:
        capsule = slice_kernel(reference, name)
        prepared = judge.prepare(capsule, (workload,) if workload else ())
        if isinstance(prepared, Judgement):
            return prepared
        spliced = splice(capsule, candidate)
        assert not isinstance(spliced, SpliceFailure), spliced.reason
        return judge.judge(prepared, spliced)

    return run


def test_identity_is_correct(verify: Verify) -> None:
    """A kernel against itself is correct, and neither faster nor slower."""
    judgement = verify(SAXPY, SAXPY, "saxpy", SAXPY_WORKLOAD)
    assert judgement.verdict in {Verdict.SAME, Verdict.INCONCLUSIVE}, judgement.reason
    assert judgement.speedup == pytest.approx(1.0, abs=0.3)


def test_names_of_parameters_are_free(verify: Verify) -> None:
    """A kernel whose parameters are called otherwise takes the same arguments."""
    code = """__global__ void saxpy(const float* in, float* out, float scale, int count) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i < count) { out[i] = scale * in[i] + out[i]; }
    }"""
    judgement = verify(SAXPY, code, "saxpy", SAXPY_WORKLOAD)
    assert judgement.verdict.correct, judgement.reason


def test_less_work_is_faster(verify: Verify) -> None:
    """A candidate that does a fortieth of the work is faster, with an interval above 1."""
    judgement = verify(SLOW_EXP, FAST_EXP, "soft", SOFT_WORKLOAD)
    assert judgement.verdict is Verdict.FASTER, judgement.reason
    assert judgement.timing is not None
    assert judgement.timing.low > 1.05
    assert judgement.timing.emulated
    assert "emulator" in judgement.reason


def test_more_work_is_slower(verify: Verify) -> None:
    """The same pair the other way round is slower."""
    assert verify(FAST_EXP, SLOW_EXP, "soft", SOFT_WORKLOAD).verdict is Verdict.SLOWER


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (("a * x[i]", "a - x[i]"), Verdict.MISMATCH),
        (("i < n", "i < n - 1"), Verdict.MISMATCH),
        (("a * x[i] + y[i]", "a * x[i] + y[i]; x[i] = 0"), Verdict.COMPILE_ERROR),
        (("if (i < n)", "while (i < n)"), Verdict.TIMEOUT),
        (("x[i] +", "x[i + 100000] +"), Verdict.OUT_OF_BOUNDS),
        (("if (i < n) {", "if (i < n) { abort();"), Verdict.CRASHED),
        (("if (i < n)", "if (i < 0)"), Verdict.MISMATCH),
    ],
)
def test_bad_candidates(verify: Verify, change: tuple[str, str], verdict: Verdict) -> None:
    """Each way to be wrong has its verdict, and a reason."""
    assert change[0] in SAXPY
    judgement = verify(SAXPY, SAXPY.replace(*change), "saxpy", SAXPY_WORKLOAD)
    assert (
        judgement.verdict in {verdict, Verdict.REJECTED}
        if "abort" in change[1]
        else (judgement.verdict is verdict)
    ), judgement.reason
    assert judgement.reason
    assert judgement.speedup is None


def test_written_inputs_are_a_mismatch(verify: Verify) -> None:
    """A candidate that changes an input is wrong, however right its output."""
    candidate = SAXPY.replace("y[i] = a", "((float*)x)[i] += 0.0f * 1 + 1; y[i] = a").replace(
        "x[i] + y", "(x[i] - 1) + y"
    )
    judgement = verify(SAXPY, candidate, "saxpy", SAXPY_WORKLOAD)
    assert judgement.verdict is Verdict.MISMATCH
    assert judgement.mismatch is not None
    assert judgement.mismatch.argument == "x"


def test_a_mismatch_says_where(verify: Verify) -> None:
    """The evidence names buffer, first wrong element, count, and both values."""
    judgement = verify(SAXPY, SAXPY.replace("i < n", "i < n - 3"), "saxpy", SAXPY_WORKLOAD)
    assert judgement.mismatch is not None
    assert judgement.mismatch.argument == "y"
    assert judgement.mismatch.first_index == N - 3
    assert judgement.mismatch.wrong == 3
    assert judgement.mismatch.seed in judgement.seeds


def test_doing_nothing_fails_where_the_output_was_filled_with_the_answer(verify: Verify) -> None:
    """Outputs are poisoned: a candidate that writes nothing never finds the right answer there."""
    reference = (
        "__global__ void zero(float* y, int n) { int i = threadIdx.x; if (i < n) y[i] = 0; }"
    )
    workload = Workload.from_json(
        {"grid": [1], "block": [64], "args": [_buffer("y", "zeros", 64), _count(64)]}
    )
    judgement = verify(reference, reference.replace("y[i] = 0", ";"), "zero", workload)
    assert not judgement.verdict.correct


def test_a_workload_that_null_candidates_pass_is_unverifiable(verify: Verify) -> None:
    """Where copying an input is right, no verdict would mean anything."""
    reference = """__global__ void relu(const float* x, float* y, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) y[i] = fmaxf(x[i], 0.0f); }"""
    workload = _workload(_buffer("x", "uniform"), _buffer("y", "zeros"), _count())
    judgement = verify(reference, reference, "relu", workload)
    assert judgement.verdict is Verdict.UNVERIFIABLE
    assert "copies an input" in judgement.reason


def test_a_kernel_that_writes_nothing_is_unverifiable(verify: Verify) -> None:
    """A workload on which the original writes nothing proves nothing."""
    workload = _workload(_buffer("x"), _buffer("y"), A, _count(0))
    assert verify(SAXPY, SAXPY, "saxpy", workload).verdict is Verdict.UNVERIFIABLE


def test_a_broken_original_is_its_own_fault(verify: Verify) -> None:
    """An original that does not compile, or leaves its buffers, is a reference error."""
    broken = SAXPY.replace("y[i] = a", "y[i] = b")
    assert verify(broken, SAXPY, "saxpy", SAXPY_WORKLOAD).verdict is Verdict.REFERENCE_ERROR
    wild = SAXPY.replace("i < n", "true")
    workload = _workload(_buffer("x", length=64), _buffer("y", length=64), A, _count())
    judgement = verify(wild, SAXPY, "saxpy", workload)
    assert judgement.verdict is Verdict.REFERENCE_ERROR, judgement.reason


def test_a_kernel_needs_no_workload(verify: Verify) -> None:
    """Where none is given, workloads of several sizes are found, and each says why it is so."""
    judgement = verify(SAXPY, SAXPY, "saxpy", None)
    assert judgement.verdict.correct, judgement.reason
    assert judgement.guessed_workloads
    assert len(judgement.workloads) == len(judgement.workload_reasons) >= 2


def test_what_cannot_be_found_is_unverifiable(verify: Verify) -> None:
    """Where no launch counts, nothing is made up, and what was tried is said."""
    reference = SAXPY.replace("float* y", "float** y").replace(
        "y[i] = a * x[i] + y[i]", "*y[i] = a"
    )
    judgement = verify(reference, reference, "saxpy", None)
    assert judgement.verdict is Verdict.UNVERIFIABLE
    assert "'float**'" in judgement.reason
    assert judgement.guessed_workloads


def test_seeds_repeat_a_verdict(judge: Judge) -> None:
    """A judgement's seeds give the same evidence again."""
    capsule = slice_kernel(SAXPY, "saxpy")
    prepared = judge.prepare(capsule, (SAXPY_WORKLOAD,))
    assert isinstance(prepared, Prepared)
    wrong = splice(capsule, SAXPY.replace("a * x[i]", "a + x[i]"))
    assert not isinstance(wrong, SpliceFailure)
    first = judge.judge(prepared, wrong)
    again = judge.judge(prepared, wrong, first.seeds)
    assert first.mismatch == again.mismatch
    assert judge.judge(prepared, wrong).seeds != first.seeds


def test_a_workload_that_does_not_count_is_told(judge: Judge) -> None:
    """Of two workloads the one that proves nothing is left out, and the record says why."""
    capsule = slice_kernel(SAXPY, "saxpy")
    nothing = _workload(_buffer("x"), _buffer("y"), A, _count(0))
    prepared = judge.prepare(capsule, (nothing, SAXPY_WORKLOAD))
    assert isinstance(prepared, Prepared)
    judgement = judge.judge(prepared, capsule)
    assert [w for w in judgement.workloads if w.timed] == [SAXPY_WORKLOAD]
    assert nothing not in judgement.workloads
    assert judgement.workload_notes == ("the original writes nothing",)


def test_accumulated_output_keeps_its_fill(verify: Verify) -> None:
    """A buffer that the kernel reads before it writes is not poisoned."""
    reference = """__global__ void tally(const int* key, int* bins, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) atomicAdd(&bins[key[i]], 1); }"""
    workload = _workload(
        {"name": "key", "buffer": "int32", "length": N, "fill": "index", "below": 16},
        {"name": "bins", "buffer": "int32", "length": 16, "fill": "zeros"},
        _count(),
    )
    judgement = verify(reference, reference, "tally", workload)
    assert judgement.verdict.correct, judgement.reason
    off = reference.replace("], 1)", "], i > 7 ? 1 : 2)")
    assert verify(reference, off, "tally", workload).verdict is Verdict.MISMATCH


def test_a_workload_that_does_not_fit_is_no_fault_of_the_kernel(verify: Verify) -> None:
    """Too few arguments are told as the workload's mistake."""
    judgement = verify(SAXPY, SAXPY, "saxpy", _workload(_buffer("x"), _buffer("y"), A))
    assert judgement.verdict is Verdict.UNVERIFIABLE
    assert "4 arguments" in judgement.reason
