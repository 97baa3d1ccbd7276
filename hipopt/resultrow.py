"""A kernel's story as the one row that the result log holds of it.

`opt_kernel` is the model's own code block, the whole kernel with the helpers that it brought along:
what a person can paste over the original in its file. `speedup`, `verdict` and `judgement` beside
it are of that very candidate.
"""

from __future__ import annotations

import hashlib
import json
from typing import cast

from hipopt.llm.rounds import Round, best_of
from hipopt.records import FailureKind, Judgement, KernelTask, Record, ResultRow

MAX_ERROR_CHARS = 500


class Story(Record, frozen=True, kw_only=True):
    """All that happened to one kernel."""

    rounds: tuple[Round, ...] = ()
    hindrance: tuple[FailureKind, str] | None = None
    """Why the model was never asked, as kind and sentence; None: it was."""
    hindrance_judgement: Judgement | None = None
    """The evidence, where it was the judge who found the hindrance."""


def result_row(
    task: KernelTask, story: Story, *, model: str, started_at: str, finished_at: str
) -> ResultRow:
    """The final row: success if a candidate is correct and proven faster, else failure."""
    best = best_of(story.rounds)
    failure = None if best is not None and best.faster else _failure(story, best)
    judgement = best.judgement if best else _last_judgement(story)
    return ResultRow(
        id=task.id,
        status="failure" if failure else "success",
        name=task.name,
        hip_file=task.hip_file,
        opt_kernel=best.code if best else None,
        opt_think=best.thinking if best else None,
        speedup=best.speedup if best else None,
        failure_kind=failure[0] if failure else None,
        error_message=_one_line(failure[1]) if failure else None,
        verdict=judgement.verdict if judgement else None,
        judgement=judgement,
        attempts=tuple(r.to_attempt() for r in story.rounds),
        model=model,
        prompt_tokens=sum(r.prompt_tokens for r in story.rounds),
        completion_tokens=sum(r.completion_tokens for r in story.rounds),
        shard=task.shard,
        retry=task.retry,
        started_at=started_at,
        finished_at=finished_at,
        task_sha256=task_sha256(task),
        opt_kernel_sha256=best.code_sha256 if best else None,
    )


def task_sha256(task: KernelTask) -> str:
    """Hash of the manifest row's id, name and code_body, as a compact JSON array in ASCII."""
    row = json.dumps([task.id, task.name, task.code_body], separators=(",", ":"))
    return hashlib.sha256(row.encode()).hexdigest()


def _failure(story: Story, best: Round | None) -> tuple[FailureKind, str]:
    """Kind and sentence of a failure."""
    if story.hindrance is not None:
        return story.hindrance
    if not story.rounds:
        return "no_reply", "no reply was given for this kernel"
    count = len(story.rounds)
    if best is not None:
        times = "" if best.speedup is None else f", {best.speedup:.3g} times as fast"
        return "no_speedup", (
            f"no candidate was proven faster; the best of {count} attempts is number "
            f"{best.number}: {best.outcome}{times}"
        )
    last = story.rounds[-1]
    return cast(FailureKind, last.outcome), (
        f"no candidate was correct in {count} attempts; the last: {last.outcome}: {last.reason}"
    )


def _last_judgement(story: Story) -> Judgement | None:
    judged = (r.judgement for r in reversed(story.rounds) if r.judgement)
    return next(judged, story.hindrance_judgement)


def _one_line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= MAX_ERROR_CHARS else flat[:MAX_ERROR_CHARS] + " ..."
