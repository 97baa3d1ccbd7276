"""Facts about what the model is told."""

from __future__ import annotations

import pytest

from hipopt.llm.architectures import ARCHITECTURES
from hipopt.llm.feedback import describe_rounds
from hipopt.llm.prompt import describe_workloads, messages_for
from hipopt.llm.rounds import Round, best_of
from hipopt.records import (
    Buffer,
    Judgement,
    Mismatch,
    Resources,
    Scalar,
    Timing,
    Verdict,
    Workload,
)
from hipopt.source.capsule import Capsule

SOURCE = "#define A $x\n__global__ void k(float* y, int n) { y[0] = n; }"
CAPSULE = Capsule(source=SOURCE, kernel="k", parameters=(), kernel_text=SOURCE)
WORKLOAD = Workload(
    grid=(64, 1, 1),
    block=(256, 1, 1),
    lds_bytes=512,
    template=("float",),
    args=(
        Buffer(name="y", buffer="float32", length=16384),
        Scalar(name="n", scalar="int32", value=16384),
    ),
)


def judged(
    number: int, verdict: Verdict, speedup: float | None = None, **evidence: object
) -> Round:
    judgement = Judgement(verdict=verdict, reason=f"reason {number}", speedup=speedup, **evidence)  # type: ignore[arg-type]
    return Round(
        number=number,
        outcome=verdict.value,
        reason=judgement.reason,
        code=f"code of {number}",
        judgement=judgement,
    )


def test_the_first_prompt_holds_task_target_kernel_and_launch() -> None:
    """Rules and form stand in the system message; GPU, source and shapes in the user's."""
    system, user = messages_for(CAPSULE, [WORKLOAD], "gfx942")
    assert (system.role, user.role) == ("system", "user")
    assert "```hip" in system.content
    assert "```thinking" in system.content
    for told in (SOURCE, "gfx942", "64 lanes", "grid (64, 1, 1)", "block (256, 1, 1)"):
        assert told in user.content
    assert "earlier attempts" not in user.content


def test_what_stays_the_same_comes_first() -> None:
    """The first prompt is a prefix of the later ones, so that endpoints can cache it."""
    first = messages_for(CAPSULE, [WORKLOAD], "gfx942")
    later = messages_for(CAPSULE, [WORKLOAD], "gfx942", [judged(1, Verdict.MISMATCH)])
    assert later[0] == first[0]
    assert later[1].content.startswith(first[1].content)


def test_workloads_are_told_with_their_arguments() -> None:
    """Shape, LDS, template arguments, buffers and values all show."""
    assert describe_workloads([WORKLOAD]) == (
        "- workload 0: grid (64, 1, 1), block (256, 1, 1), dynamic LDS 512 bytes, "
        "template arguments <float>\n  `y`: float32[16384]; `n`: int32 = 16384"
    )


@pytest.mark.parametrize("arch", [*ARCHITECTURES, "gfx942:sramecc+:xnack-", "gfx1201"])
def test_every_architecture_is_described(arch: str) -> None:
    """Known ones with facts, features aside; unknown ones without invented facts."""
    told = messages_for(CAPSULE, [], arch)[1].content
    assert arch.partition(":")[0] in told
    assert ("lanes" in told) == (arch != "gfx1201")


def test_evidence_of_the_latest_attempt_is_told() -> None:
    """Differences, compiler errors, times and resources reach the model, as does the emulator."""
    mismatch = Mismatch(
        workload=0, seed=1, argument="y", wrong=3, length=9, first_index=4, expected="1.0",
        actual="2.0", max_abs_error=1.0, rtol=1e-5, atol=1e-6, family="wide", schedule="reverse",
    )  # fmt: skip
    timing = Timing(
        speedup=1.1, low=1.0, high=1.2, confidence=0.95, noise_floor=1.02, rounds=6, blocks=11,
        rejected_blocks=1, confirmed=False, reference_time_us=11.0, candidate_time_us=10.0,
        workload=0, emulated=True,
    )  # fmt: skip
    latest = judged(
        1, Verdict.MISMATCH, mismatch=mismatch, timing=timing, resources=Resources(vgprs=32),
        compiler_output="k.hip:3:5: error: no", lockstep="LDS array 's': lanes 0 and 1",
    )  # fmt: skip
    told = describe_rounds([latest])
    for part in (
        mismatch.describe(), "wide data", "reverse order", "emulator", "32 VGPRs", "lanes 0 and 1",
        "k.hip:3:5: error: no", "code of 1",
    ):  # fmt: skip
        assert part in told


def test_what_bounds_occupancy_is_told() -> None:
    """Registers, spills and occupancy reach the model with what to save; zero spills don't."""
    spilling = Resources(
        vgprs=128, agprs=64, sgprs=30, lds_bytes=0, scratch_bytes=96, vgpr_spills=24,
        sgpr_spills=0, occupancy=4, occupancy_limit="vgprs", wave_size=64, code_bytes=512,
    )  # fmt: skip
    told = describe_rounds([judged(1, Verdict.SLOWER, 0.9, resources=spilling)])
    assert (
        "It uses 128 VGPRs, 64 of them AGPRs, 30 SGPRs, 0 bytes of static LDS, 96 bytes of scratch "
        "a lane, 24 VGPRs spilled to memory, 4 waves a SIMD at most (VGPRs stop more)."
    ) in told


def test_resources_are_in_the_record_of_an_attempt() -> None:
    """What each attempt's code takes goes into the log, not only the last one's."""
    attempt = judged(1, Verdict.SLOWER, 0.9, resources=Resources(vgprs=32, occupancy=8))
    assert attempt.to_attempt().to_json()["resources"]["vgprs"] == 32


def test_the_best_and_the_latest_come_with_code_the_others_with_a_line() -> None:
    """An attempt that is neither is condensed to its outcome."""
    rounds = [
        judged(1, Verdict.FASTER, 1.5),
        judged(2, Verdict.COMPILE_ERROR),
        judged(3, Verdict.SLOWER, 0.5),
    ]
    told = describe_rounds(rounds)
    assert "code of 1" in told
    assert "code of 2" not in told
    assert "- attempt 2: compile_error. reason 2" in told
    assert "code of 3" in told


@pytest.mark.parametrize("max_chars", [0, 300, 3_000, 30_000])
def test_the_history_keeps_to_its_bound(max_chars: int) -> None:
    """However long codes and errors are, the history is bounded, and code is never halved."""
    long = "x" * 5_000
    rounds = [
        Round(number=n, outcome="compile_error", reason=long, code=f"begin {long} end")
        for n in range(1, 40)
    ]
    told = describe_rounds(rounds, max_chars)
    assert len(told) <= max_chars + len("# What came of your earlier attempts")
    assert told.count("begin") == told.count("end\n")


def test_newer_attempts_are_kept_where_room_is_short() -> None:
    """Of condensed attempts, the oldest go first."""
    rounds = [judged(n, Verdict.MISMATCH) for n in range(1, 60)]
    told = describe_rounds(rounds, 1_000)
    assert "attempt 58" in told
    assert "- attempt 1:" not in told


def test_the_first_of_equals_is_the_best() -> None:
    """Proven faster beats a higher number; the earlier beats an equal."""
    rounds = [
        judged(1, Verdict.INCONCLUSIVE, 3.0),
        judged(2, Verdict.FASTER, 1.2),
        judged(3, Verdict.FASTER, 1.2),
        judged(4, Verdict.MISMATCH),
    ]
    assert best_of(rounds) is rounds[1]
    assert best_of(rounds[3:]) is None
