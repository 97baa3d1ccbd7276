"""Earlier attempts told to the model: condensed, the newest in most detail, bounded in size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hipopt.llm.rounds import Round, best_of
from hipopt.records import Judgement, Resources, Verdict

MAX_HISTORY_CHARS = 32_000
MAX_COMPILER_CHARS = 4_000
"""The first errors matter; most of the rest follow from them."""
MAX_REASON_CHARS = 600

EMULATED = (
    "The times come from an emulator on a CPU and say little about the GPU: judge by what you know "
    "of it."
)

ADVICE = {
    Verdict.FASTER: "It is faster. Try to beat it with another idea; the best attempt is kept.",
    Verdict.SAME: "It is correct, but no faster. Look for what really bounds the kernel.",
    Verdict.SLOWER: "It is correct, but slower than the original. Take another approach.",
    Verdict.INCONCLUSIVE: "It is correct, but the gain is too small to be told from noise.",
    Verdict.MISMATCH: "Find the cause of the difference before you optimise further.",
    Verdict.NONDETERMINISTIC: "Look for a race: a missing barrier, or an order that varies.",
    Verdict.COMPILE_ERROR: "Correct what the compiler names. Line numbers count from the top of "
    "the whole file, of which your code is a part.",
    Verdict.REJECTED: "Keep to the rules above.",
    Verdict.CRASHED: "Check every index and every pointer.",
    Verdict.TIMEOUT: "Look for a loop that does not end, or a barrier not reached by all threads.",
    Verdict.UNVERIFIABLE: "Put a barrier wherever one lane of a wave reads what another wrote.",
    Verdict.OUT_OF_BOUNDS: "Check every index against the sizes, in the last block above all.",
    "malformed_reply": "Reply with a ```thinking block and a ```hip block that holds the kernel.",
}


def describe_rounds(rounds: Sequence[Round], max_chars: int = MAX_HISTORY_CHARS) -> str:
    """Earlier attempts in Markdown, of at most `max_chars` characters; empty where there are none.

    The latest attempt comes whole if there is room, then the best one's code, then a line for
    each of the others, the newer ones first to be kept.
    """
    if not rounds:
        return ""
    latest, best = rounds[-1], best_of(rounds)
    wanted = [_latest(latest), _code(latest, "Its code")]
    if best is not None and best.code != latest.code:
        wanted.append(_code(best, f"The best so far, {_result(best)}"))
    wanted.append("Write a better kernel, in the form asked for.")
    kept = list(_fitting(wanted, max_chars))
    room = max_chars - sum(len(part) + 2 for part in kept)
    earlier = list(_fitting([_line(r) for r in reversed(rounds[:-1])], room))
    return "\n\n".join(["# What came of your earlier attempts", *reversed(earlier), *kept])


def _fitting(parts: Sequence[str], max_chars: int) -> Iterator[str]:
    """The parts there is room for; others are left out whole, as half a kernel would mislead."""
    for part in parts:
        if part and len(part) + 2 <= max_chars:
            max_chars -= len(part) + 2
            yield part


def _line(attempt: Round) -> str:
    return f"- {_result(attempt)}. {_short(attempt.reason)}"


def _result(attempt: Round) -> str:
    return f"attempt {attempt.number}: {attempt.outcome}{_times(attempt.speedup)}"


def _times(speedup: float | None) -> str:
    return "" if speedup is None else f", {speedup:.3g} times as fast as the original"


def _latest(attempt: Round) -> str:
    repeated = (
        f"You proposed the same code as in attempt {attempt.repeats}; propose other code."
        if attempt.repeats
        else ""
    )
    parts = [
        f"## Latest: {_result(attempt)}",
        repeated,
        _short(attempt.reason),
        *(_evidence(attempt.judgement) if attempt.judgement else ()),
        ADVICE.get(attempt.outcome, ""),
    ]
    return "\n\n".join(part for part in parts if part)


def _evidence(judgement: Judgement) -> Iterator[str]:
    if judgement.mismatch and judgement.mismatch.describe() not in judgement.reason:
        yield f"Difference: {judgement.mismatch.describe()}."
    if judgement.lockstep and judgement.lockstep not in judgement.reason:
        yield f"It counts on the lanes of a wave running in step: {judgement.lockstep}."
    if judgement.compiler_output:
        yield f"```\n{_first_lines(judgement.compiler_output)}\n```"
    if judgement.timing and judgement.timing.describe() not in judgement.reason:
        yield judgement.timing.describe()
    if judgement.timing and judgement.timing.emulated:
        yield EMULATED
    if judgement.resources and _resources(judgement.resources):
        yield f"It uses {_resources(judgement.resources)}."


def _first_lines(output: str) -> str:
    if len(output) <= MAX_COMPILER_CHARS:
        return output
    return output[:MAX_COMPILER_CHARS].rpartition("\n")[0] + "\n[more errors follow]"


_STOPS = {
    "vgprs": "VGPRs stop more",
    "sgprs": "SGPRs stop more",
    "lds": "LDS stops more",
    "blocks": "no more blocks fit in a compute unit",
}


def _resources(resources: Resources) -> str:
    named = (
        (resources.vgprs, "VGPRs"),
        (resources.agprs or None, "of them AGPRs"),
        (resources.sgprs, "SGPRs"),
        (resources.lds_bytes, "bytes of static LDS"),
        (resources.scratch_bytes, "bytes of scratch a lane"),
        (resources.vgpr_spills or None, "VGPRs spilled to memory"),
        (resources.sgpr_spills or None, "SGPRs spilled to lanes or memory"),
        (resources.occupancy, _at_most(resources.occupancy_limit)),
    )
    return ", ".join(f"{amount} {name}" for amount, name in named if amount is not None)


def _at_most(limit: str | None) -> str:
    why = _STOPS.get(limit or "")
    return f"waves a SIMD at most{f' ({why})' if why else ''}"


def _code(attempt: Round, title: str) -> str:
    return f"{title}:\n\n```hip\n{attempt.code}\n```" if attempt.code else ""


def _short(reason: str) -> str:
    return reason if len(reason) <= MAX_REASON_CHARS else reason[:MAX_REASON_CHARS] + " ..."
