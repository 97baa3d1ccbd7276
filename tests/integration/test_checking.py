"""What the checks find in candidates, with real kernels on the CPU device."""

import json
from collections.abc import Callable

import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.judge.judge import Judge
from hipopt.judge.objection import within
from hipopt.judge.options import JudgeOptions, Prepared
from hipopt.judge.references import References
from hipopt.judge.seeds import fresh_seeds
from hipopt.records import FAMILIES, Judgement, Verdict, Workload
from hipopt.workload.fill import family_of
from tests.integration.checking import buffer, prepare, scalar, verdict_on, workload

N = 500
INDEX = "int i = blockIdx.x * blockDim.x + threadIdx.x;"
PLAIN = workload(buffer("x", N), buffer("y", N, "zeros"), scalar("n", N), grid=8)
MAP = f"__global__ void k(const float* x, float* y, int n) {{ {INDEX} if (i < n) y[i] = EXPR; }}"


def _map(expression: str) -> str:
    """A kernel that computes an expression of `x[i]`."""
    return MAP.replace("EXPR", expression)


@pytest.fixture
def judge(cpu_device: CpuDevice) -> Judge:
    return Judge(cpu_device, JudgeOptions(launch_timeout_s=2.0))


Verify = Callable[..., Judgement]


@pytest.fixture
def verify(judge: Judge) -> Verify:
    def run(reference: str, candidate: str, given: Workload = PLAIN, **more: object) -> Judgement:
        return verdict_on(judge, reference, candidate, "k", given, **more)  # type: ignore[arg-type]

    return run


CUBE = _map("x[i] * x[i] * x[i] + 2.0f * x[i]")


@pytest.mark.parametrize(
    ("family", "dishonest", "honest"),
    [
        ("wide", "fabsf(x[i]) > 100.0f ? 0.0f : x[i] * x[i] * x[i] + 2.0f * x[i]",
         "fabsf(x[i]) > 100.0f ? x[i] * (x[i] * x[i] + 2.0f) : x[i] * x[i] * x[i] + 2.0f * x[i]"),
        ("extreme", "x[i] == 4.0f ? 0.0f : x[i] * (x[i] * x[i] + 2.0f)",
         "x[i] == 4.0f ? 72.0f : x[i] * (x[i] * x[i] + 2.0f)"),
        ("whole", "x[i] * (x[i] * x[i] + 2.0f) * (rintf(x[i]) == x[i] ? 1.000003f : 1.0f)",
         "x[i] * (x[i] * x[i] + 2.0f) * (rintf(x[i]) == x[i] ? 1.0f : 1.0000003f)"),
    ],
)  # fmt: skip
def test_each_family_finds_what_ordinary_data_hide(
    verify: Verify, family: str, dishonest: str, honest: str
) -> None:
    """Code that is right on ordinary data only is found, and its honest twin is not."""
    found = verify(CUBE, _map(dishonest))
    assert found.verdict is Verdict.MISMATCH, found.reason
    assert found.mismatch is not None
    assert found.mismatch.family in {family, "extreme", "whole"}
    assert f"{found.mismatch.family} data" in found.reason
    right = verify(CUBE, _map(honest))
    assert right.verdict.correct, right.reason


SUM = f"""__global__ void k(const float* x, float* y, int n) {{ {INDEX}
    if (i >= n) return; float sum = 0; for (int j = 0; j < 16; ++j) sum += FACTOR * x[(i + j) % n];
    y[i] = sum; }}"""


@pytest.mark.parametrize(
    "candidate",
    [
        SUM.replace("j = 0; j < 16; ++j", "j = 15; j >= 0; --j").replace("FACTOR", "0.3f"),
        SUM.replace("sum += FACTOR * x[(i + j) % n]", "sum = fmaf(0.3f, x[(i + j) % n], sum)"),
        SUM.replace("FACTOR *", "1.0f *").replace("y[i] = sum", "y[i] = 0.3f * sum"),
        SUM.replace("float sum", "double sum").replace("FACTOR", "0.3f"),
    ],
)
def test_honest_rounding_is_allowed(verify: Verify, candidate: str) -> None:
    """Another order, a fused multiply-add, a factor taken out of the sum, a wider type."""
    judgement = verify(SUM.replace("FACTOR", "0.3f"), candidate)
    assert judgement.verdict.correct, judgement.reason
    assert judgement.tolerance_source == "rounding modes"


@pytest.mark.parametrize(
    "candidate",
    [
        SUM.replace("FACTOR * x[(i + j) % n]", "0.3f * __half2float(__float2half(x[(i + j) % n]))"),
        SUM.replace("FACTOR", "0.3f").replace("= sum", "= __half2float(__float2half(sum))"),
        SUM.replace("FACTOR", "0.3f").replace("= sum", "= fabsf(sum) < 0.01f ? 0.0f : sum"),
        SUM.replace("FACTOR", "0.3f").replace("j < 16", "j < 15"),
    ],
)
def test_lost_digits_and_terms_are_not(verify: Verify, candidate: str) -> None:
    """Inputs or results in half, small results left out, a term left out."""
    include = "#include <hip/hip_fp16.h>\n"
    judgement = verify(include + SUM.replace("FACTOR", "0.3f"), include + candidate)
    assert judgement.verdict is Verdict.MISMATCH, judgement.reason


def test_sums_of_integers_are_compared_exactly(verify: Verify) -> None:
    """Where the original's results have no rounding error, the last digit counts."""
    reference = SUM.replace("FACTOR", "2.0f")
    off = SUM.replace("FACTOR", "2.0f").replace("y[i] = sum", "y[i] = sum * 1.0000002f")
    found = verify(reference, off)
    assert found.verdict is Verdict.MISMATCH, found.reason
    assert found.mismatch is not None
    assert found.mismatch.family == "whole"
    assert found.mismatch.tolerance == 0
    assert verify(
        reference, reference.replace("j = 0; j < 16; ++j", "j = 15; j >= 0; --j")
    ).verdict.correct


REVERSED = f"""__global__ void k(const float* x, float* y, int n) {{
    __shared__ float s[256]; {INDEX} s[threadIdx.x] = i < n ? x[i] : 0; BARRIER
    if (i < n) y[i] = s[255 - threadIdx.x] + 2 * s[threadIdx.x]; }}"""
TWO_BLOCKS = workload(buffer("x", N), buffer("y", N, "zeros"), scalar("n", N), grid=2, block=256)


def test_a_missing_barrier_is_nondeterministic_or_wrong(verify: Verify) -> None:
    """Threads of other waves that run later show it; with the barrier it passes."""
    reference = REVERSED.replace("BARRIER", "__syncthreads();")
    found = verify(reference, REVERSED.replace("BARRIER", ""), TWO_BLOCKS)
    assert found.verdict in {Verdict.NONDETERMINISTIC, Verdict.MISMATCH}, found.reason
    assert verify(reference, reference.replace("2 * s", "2.0f * s"), TWO_BLOCKS).verdict.correct


def test_what_only_another_order_shows_is_nondeterministic(verify: Verify) -> None:
    """A block that waits for what an earlier block wrote is right in one order of blocks only."""
    reference = """__global__ void k(const float* x, float* y, int n) {
        if (threadIdx.x) return;
        float sum = 0; for (int j = 0; j <= (int)blockIdx.x; ++j) sum += x[j];
        y[blockIdx.x] = sum; }"""
    candidate = """__global__ void k(const float* x, float* y, int n) {
        if (threadIdx.x) return;
        y[blockIdx.x] = x[blockIdx.x] + (blockIdx.x ? y[blockIdx.x - 1] : 0); }"""
    given = workload(buffer("x", 8), buffer("y", 8, "zeros"), scalar("n", 8), grid=8)
    found = verify(reference, candidate, given)
    assert found.verdict is Verdict.NONDETERMINISTIC, found.reason
    assert found.mismatch is None or found.mismatch.schedule != "forward"
    honest = reference.replace(
        "int j = 0; j <= (int)blockIdx.x; ++j", "int j = blockIdx.x; j >= 0; --j"
    )
    assert verify(reference, honest, given).verdict.correct


def test_what_depends_on_addresses_is_found(verify: Verify) -> None:
    """The same content at another address must give the same."""
    candidate = _map("3.0f * x[i] + ((unsigned long long)x / 4096 % 2 ? 0.1f : 0.0f)")
    judgement = verify(_map("3.0f * x[i]"), candidate)
    assert judgement.verdict in {Verdict.MISMATCH, Verdict.NONDETERMINISTIC}, judgement.reason


def test_a_candidate_that_rests_when_the_answer_is_there_is_found(verify: Verify) -> None:
    """In one launch a few results are right already; the others must come all the same."""
    reference = _map("3.0f * x[i]")
    lazy = """__global__ void k(const float* x, float* y, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x, first = blockIdx.x * blockDim.x;
        __shared__ bool done;
        if (threadIdx.x == 0) done = first < n && y[first] == 3.0f * x[first];
        __syncthreads();
        if (i < n && !done) y[i] = 3.0f * x[i]; }"""
    assert verify(reference, lazy).verdict is Verdict.MISMATCH
    assert verify(
        reference, lazy.replace(" && y[first] == 3.0f * x[first]", " && n < 0")
    ).verdict.correct


def test_narrowed_integers_are_found(verify: Verify) -> None:
    """Integers of wide magnitude don't fit a byte."""
    reference = f"""__global__ void k(const int* x, int* y, int n) {{
        {INDEX} if (i < n) y[i] = x[i] * 3; }}"""
    given = workload(
        buffer("x", N, dtype="int32"), buffer("y", N, "zeros", "int32"), scalar("n", N), grid=8
    )
    narrow = reference.replace("x[i] * 3", "(signed char)x[i] * 3")
    found = verify(reference, narrow, given)
    assert found.mismatch is not None
    assert found.mismatch.family == "wide"
    assert verify(
        reference, reference.replace("x[i] * 3", "x[i] + 2 * x[i]"), given
    ).verdict.correct


def test_a_changed_input_is_found(verify: Verify) -> None:
    """Inputs are compared bit for bit after every launch, a minus sign on a zero included."""
    candidate = _map("3.0f * x[i]").replace(
        "i < n) y[i] = 3.0f * x[i];", "i < n) { y[i] = 3.0f * x[i]; ((float*)x)[i] += 0.0f; }"
    )
    judgement = verify(_map("3.0f * x[i]"), candidate)
    assert judgement.verdict is Verdict.MISMATCH, judgement.reason
    assert judgement.mismatch is not None
    assert judgement.mismatch.argument == "x"


def test_nan_must_match_in_place(verify: Verify) -> None:
    """Where the original gives NaN for negative data, so must the candidate."""
    reference = _map("sqrtf(x[i])")
    assert verify(reference, _map("sqrtf(fmaxf(x[i], 0.0f))")).verdict is Verdict.MISMATCH
    assert verify(reference, _map("x[i] < 0 ? NAN : sqrtf(x[i])")).verdict.correct


def test_the_record_says_what_was_looked_at(verify: Verify) -> None:
    """A judgement names seeds, families and orders of threads."""
    judgement = verify(CUBE, CUBE)
    assert judgement.verdict.correct
    said = " ".join(judgement.checks)
    assert "shuffled orders" in said
    assert all(family in said for family in FAMILIES)
    assert {family_of(seed) for seed in judgement.seeds[:-1]} == set(FAMILIES)


@pytest.mark.parametrize(
    "candidate",
    [
        _map("x[i] * x[i] * x[i] + 2.0001f * x[i]"),
        _map("fabsf(x[i]) > 100.0f ? 0.0f : x[i] * x[i] * x[i] + 2.0f * x[i]"),
        CUBE.replace("i < n", "i < n - 1"),
        CUBE.replace("x[i] *", "x[i + 100000] *"),
    ],
)
def test_a_verdict_is_replayed_from_its_record(judge: Judge, candidate: str) -> None:
    """Its seeds give the same verdict, reason and evidence, in another judge of the same device."""
    first = verdict_on(judge, CUBE, candidate, "k", PLAIN)
    record = json.loads(json.dumps(first.to_json()))
    given = map(Workload.from_json, record["workloads"])
    other = Judge(judge.device, judge.options)
    again = verdict_on(other, CUBE, candidate, "k", *given, seeds=tuple(record["seeds"]))
    assert not first.verdict.correct
    assert (again.verdict, again.reason) == (first.verdict, first.reason)
    assert again.mismatch == first.mismatch


def test_without_a_microscope_the_types_table_holds(cpu_device: CpuDevice) -> None:
    """Then tolerances are the type's widest, and the record says so."""
    judge = Judge(_Other(cpu_device), JudgeOptions(launch_timeout_s=2.0))  # type: ignore[arg-type]
    judgement = verdict_on(judge, CUBE, CUBE, "k", PLAIN)
    assert judgement.verdict.correct
    assert judgement.tolerance_source == "type table"
    prepared = prepare(judge, CUBE, "k", PLAIN)
    assert isinstance(prepared, Prepared)
    assert not prepared.qualified[0].measured


def test_a_microscope_beside_the_device_screens_first(cpu_device: CpuDevice) -> None:
    """Another device than the judging one looks first, and what it finds is the verdict."""
    judge = Judge(_Other(cpu_device), JudgeOptions(launch_timeout_s=2.0), microscope=cpu_device)  # type: ignore[arg-type]
    right = verdict_on(judge, CUBE, CUBE, "k", PLAIN)
    assert right.verdict.correct, right.reason
    assert right.tolerance_source == "rounding modes"
    assert "microscope" in right.stage_seconds
    wrong = verdict_on(judge, CUBE, CUBE.replace("i < n", "i < n - 1"), "k", PLAIN)
    assert wrong.verdict is Verdict.MISMATCH
    assert "check" not in wrong.stage_seconds


def test_what_a_reference_showed_outlives_its_thread(cpu_device: CpuDevice) -> None:
    """Sessions end with the thread that opened them; at rest, another thread finds all the same."""
    judge = Judge(cpu_device, JudgeOptions(launch_timeout_s=2.0))
    ready = prepare(judge, CUBE, "k", PLAIN)
    assert isinstance(ready, Prepared)

    def look(references: References) -> None:
        references.expected(0, 1)
        references.rest()

    with References(cpu_device.open, ready.plain, ready, 10.0) as references:
        within(60.0, lambda: look(references), "one thread")
        spreads = within(60.0, references.spreads(0, 2), "another")
    assert spreads is not None


class _Other:
    """The CPU device in the role of a GPU: it can't look into kernels."""

    def __init__(self, device: CpuDevice) -> None:
        for name in ("describe", "compile", "open", "exclusive"):
            setattr(self, name, getattr(device, name))


def test_fresh_seeds_are_never_the_same() -> None:
    """No two judgements share one."""
    assert len({seed for _ in range(50) for seed in fresh_seeds(4)}) == 250


REDUCE = """__global__ void k(const float* x, float* y, int n) {
    __shared__ float s[64]; int t = threadIdx.x;
    int i = blockIdx.x * blockDim.x + t; s[t] = i < n ? x[i] : 0; __syncthreads();
    for (int step = 32; step > 0; step /= 2) { if (t < step) s[t] += s[t + step]; BARRIER }
    if (t == 0) y[blockIdx.x] = s[0]; }"""
SUMS = workload(buffer("x", N), buffer("y", 8, "zeros"), scalar("n", N), grid=8)


def test_reliance_on_lockstep_is_named_and_not_called_wrong(verify: Verify) -> None:
    """A wave that reduces without barriers can't be judged here; with them it is correct."""
    reference = REDUCE.replace("BARRIER", "__syncthreads();")
    candidate = REDUCE.replace("BARRIER", "").replace("float s[64]", "volatile float s[64]")
    found = verify(reference, candidate, SUMS)
    assert found.verdict is Verdict.UNVERIFIABLE, found.reason
    assert "lockstep" in found.reason
    assert found.lockstep is not None
    honest = verify(reference, reference.replace("t < step", "t + step < 2 * step"), SUMS)
    assert honest.verdict.correct, honest.reason
    assert honest.lockstep is None


def test_an_original_that_relies_on_lockstep_is_named_so(judge: Judge) -> None:
    """No candidate can be judged against it on the emulator."""
    reference = REDUCE.replace("BARRIER", "").replace("float s[64]", "volatile float s[64]")
    judgement = prepare(judge, reference, "k", SUMS)
    assert isinstance(judgement, Judgement)
    assert judgement.verdict is Verdict.UNVERIFIABLE
    assert "relies on lockstep" in judgement.reason


def test_a_race_is_found_with_both_lines(verify: Verify) -> None:
    """Also where every order of threads that was tried happened to give the right results."""
    reference = REVERSED.replace("BARRIER", "__syncthreads();")
    racy = f"""__global__ void k(const float* x, float* y, int n) {{
        __shared__ float s[256]; {INDEX} s[threadIdx.x] = i < n ? x[i] : 0;
        __syncthreads();
        float sum = s[255 - threadIdx.x] + 2 * s[threadIdx.x];
        REUSE
        s[0] = sum;
        if (i < n) y[i] = sum; }}"""
    racy = racy.replace("float s[", "volatile float s[")
    found = verify(reference, racy.replace("REUSE", "__syncthreads();"), TWO_BLOCKS)
    assert found.verdict is Verdict.NONDETERMINISTIC, found.reason
    assert "a race" in found.reason
    assert "in line" in found.reason
    apart = racy.replace("REUSE", "__syncthreads();").replace("s[0]", "s[threadIdx.x]")
    judgement = verify(reference, apart, TWO_BLOCKS)
    assert judgement.verdict.correct, judgement.reason


def test_an_overrun_between_shared_arrays_is_found(verify: Verify) -> None:
    """The instrumented build tells one LDS array from the next, with line and thread."""
    reference = REVERSED.replace("BARRIER", "__syncthreads();")
    candidate = reference.replace("s[256];", "s[256], spare[256];").replace(
        "__syncthreads();", "__syncthreads(); spare[threadIdx.x] = s[threadIdx.x + 1];"
    )
    found = verify(reference, candidate, TWO_BLOCKS)
    assert found.verdict is Verdict.OUT_OF_BOUNDS, found.reason
    assert "line" in found.reason
    assert "thread (255,0,0)" in found.reason
    right = candidate.replace("threadIdx.x + 1]", "(threadIdx.x + 1) % 256]")
    assert verify(reference, right, TWO_BLOCKS).verdict.correct


GREATEST = """
__global__ void k(const float* x, float* y, int n) {
    if (threadIdx.x != 0) return;
    float most = -INFINITY;
    for (int i = 0; i < n; ++i) most = fmaxf(most, x[i]);
    y[blockIdx.x] = most;
}
"""
ONE_BLOCK = workload(buffer("x", N), buffer("y", 1, "zeros"), scalar("n", N), grid=1)


@pytest.mark.parametrize(
    ("start", "accepted"),
    [("float most;", False), ("float most; most = x[0];", True)],
    ids=["never set", "set late"],
)
def test_a_variable_read_before_it_is_set(verify: Verify, start: str, accepted: bool) -> None:
    """It is found even where what it happens to hold does no harm; setting it late is fine."""
    candidate = GREATEST.replace("float most = -INFINITY;", start)
    judgement = verify(GREATEST, candidate, ONE_BLOCK)
    assert judgement.verdict.correct == accepted
    if not accepted:
        assert judgement.verdict is Verdict.NONDETERMINISTIC
        assert "before it is set" in judgement.reason
