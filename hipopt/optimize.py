"""One kernel's story: ask, splice, judge, feed back, keep the best.

Guarantee: the row that comes out is final, and its `opt_kernel`, `opt_think` and `speedup` belong
to one and the same candidate. Trouble on our side is an exception, never a row.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from hipopt.devices import judge_options, open_device
from hipopt.errors import PromptRefused, SourceError
from hipopt.judge.judge import Judge
from hipopt.judge.options import Prepared
from hipopt.llm.interface import ModelReply, Proposer
from hipopt.llm.prompt import Earlier, build_messages
from hipopt.llm.replay import make_proposer
from hipopt.llm.reply import Malformed, parse_reply
from hipopt.records import Attempt, FailureKind, Judgement, KernelTask, Record, ResultRow, Verdict
from hipopt.settings import Settings
from hipopt.source.capsule import Capsule
from hipopt.source.slice import slice_kernel
from hipopt.source.splice import SpliceFailure, splice

MALFORMED = "malformed_reply"


class Optimizer:
    """Optimises kernels one at a time; one of these a process.

    Args:
        proposer: where candidates come from.
        judge: who judges them.
        attempts: most attempts a kernel.
        target_arch: what the prompt asks to optimise for.
    """

    def __init__(
        self, proposer: Proposer, judge: Judge, *, attempts: int = 4, target_arch: str = "gfx942"
    ) -> None:
        self._proposer, self._judge = proposer, judge
        self._attempts, self._target_arch = attempts, target_arch

    @classmethod
    def from_settings(cls, settings: Settings) -> Optimizer:
        """The optimiser that the settings describe.

        Raises:
            UsageError: no source of candidates is named.
            DeviceError: the device is not there.
        """
        return cls(
            make_proposer(settings),
            Judge(open_device(settings), judge_options(settings)),
            attempts=settings.attempts,
            target_arch=settings.target_arch,
        )

    def optimize(self, task: KernelTask) -> ResultRow:
        """All that became of the kernel, final.

        Raises:
            ModelUnavailable, ModelRefused, DeviceError: our side failed; try again later.
        """
        story = _Story(task, self._proposer.model)
        try:
            reference = slice_kernel(task.hip_source, task.name, code_body=task.code_body)
        except SourceError as error:
            return story.failure("source_error", str(error))
        prepared = self._judge.prepare(reference, task.workloads)
        if isinstance(prepared, Judgement):
            story.judgement = prepared
            return story.failure(cast("FailureKind", prepared.verdict.value), prepared.reason)
        for number in range(1, self._attempts + 1):
            try:
                reply = self._proposer.ask(task, number, self._prompt(prepared, story))
            except PromptRefused as refusal:
                return story.ended("prompt_refused", str(refusal))
            if reply is None:
                break
            story.add(number, reply, self._try(task, reference, prepared, story, reply))
        return story.ended("no_reply", "no candidate was proposed")

    def _prompt(self, prepared: Prepared, story: _Story) -> list[Any]:
        return build_messages(
            prepared.reference, prepared.workloads, self._target_arch, story.earlier
        )

    def _try(
        self, task: KernelTask, reference: Capsule, prepared: Prepared, story: _Story,
        reply: ModelReply,
    ) -> _Tried:  # fmt: skip
        """What came of one reply. A candidate that was tried before is not judged again."""
        parsed = parse_reply(reply.text, task.name)
        if isinstance(parsed, Malformed):
            return _Tried(outcome=MALFORMED, reason=parsed.reason)
        candidate = splice(reference, parsed.code)
        said: dict[str, Any] = {"code": parsed.code, "thinking": parsed.thinking or reply.reasoning}
        if isinstance(candidate, SpliceFailure):
            outcome = MALFORMED if candidate.malformed else Verdict.REJECTED.value
            return _Tried(outcome=outcome, reason=candidate.reason, **said)
        before = story.tried_before(candidate.source)
        if before is not None:
            return before
        started = time.perf_counter()
        judgement = self._judge.judge(prepared, candidate)
        return _Tried(
            outcome=judgement.verdict.value,
            reason=judgement.reason,
            judgement=judgement,
            source=candidate.source,
            seconds=time.perf_counter() - started,
            **said,
        )


class _Tried(Record, frozen=True, kw_only=True):
    """What came of one reply."""

    outcome: str
    reason: str
    code: str | None = None
    """The candidate as the model gave it: a person can paste it."""
    thinking: str | None = None
    judgement: Judgement | None = None
    source: str | None = None
    """The whole capsule that was judged; None: none was."""
    seconds: float = 0.0

    @property
    def speedup(self) -> float | None:
        """None: not timed, or not correct."""
        return self.judgement.speedup if self.judgement else None


class _Story:
    """What is known of a kernel so far, and the row that it makes."""

    def __init__(self, task: KernelTask, model: str) -> None:
        self._task, self._model = task, model
        self._started_at = _now()
        self._attempts: list[Attempt] = []
        self._best: _Tried | None = None
        self._last: _Tried | None = None
        self._judged: dict[str, _Tried] = {}
        self.earlier: list[Earlier] = []
        self.judgement: Judgement | None = None

    def add(self, number: int, reply: ModelReply, tried: _Tried) -> None:
        """The attempt is part of the story; the best correct candidate is kept."""
        self._attempts.append(
            Attempt(
                number=number,
                outcome=tried.outcome,
                reason=tried.reason,
                speedup=tried.speedup,
                candidate_sha256=_sha256(tried.code) if tried.code is not None else None,
                prompt_tokens=reply.prompt_tokens,
                completion_tokens=reply.completion_tokens,
                seconds=tried.seconds,
            )
        )
        judgement = tried.judgement
        self.earlier.append(
            Earlier(
                number=number,
                outcome=tried.outcome,
                reason=tried.reason,
                code=tried.code,
                compiler_output=judgement.compiler_output if judgement else None,
                speedup=tried.speedup,
                resources=judgement.resources if judgement else None,
            )
        )
        self._last = tried
        if tried.source is not None:
            self._judged[_sha256(tried.source)] = tried
        if judgement and judgement.verdict.correct and _rank(tried) > _rank(self._best):
            self._best = tried

    def tried_before(self, source: str) -> _Tried | None:
        """What came of the very same candidate; None: it is new."""
        before = self._judged.get(_sha256(source))
        if before is None:
            return None
        reason = f"the same code as in an earlier attempt: {before.reason}"
        return msgspec.structs.replace(before, reason=reason, seconds=0.0)

    def failure(self, kind: FailureKind, message: str) -> ResultRow:
        """The row of a kernel without a faster candidate."""
        return self._row(failure_kind=kind, error_message=message)

    def ended(self, kind_without: FailureKind, message_without: str) -> ResultRow:
        """The row when no more is tried; `kind_without` and its message if nothing ever was."""
        best, last = self._best, self._last
        if best is not None:
            self.judgement = best.judgement
            if best.outcome == Verdict.FASTER:
                return self._row(best)
            reason = f"no candidate is faster; the best: {best.reason}"
            return self._row(best, failure_kind="no_speedup", error_message=reason)
        if last is None:
            return self.failure(kind_without, message_without)
        self.judgement = last.judgement
        message = f"no candidate of {len(self._attempts)} is correct; the last: {last.reason}"
        return self.failure(cast("FailureKind", last.outcome), message)

    def _row(
        self, best: _Tried | None = None, failure_kind: FailureKind | None = None,
        error_message: str | None = None,
    ) -> ResultRow:  # fmt: skip
        task = self._task
        return ResultRow(
            id=task.id,
            status="success" if failure_kind is None else "failure",
            name=task.name,
            hip_file=task.hip_file,
            opt_kernel=best.code if best else None,
            opt_think=best.thinking if best else None,
            speedup=best.speedup if best else None,
            error_message=error_message,
            failure_kind=failure_kind,
            verdict=self.judgement.verdict if self.judgement else None,
            judgement=self.judgement,
            attempts=tuple(self._attempts),
            model=self._model,
            prompt_tokens=sum(attempt.prompt_tokens for attempt in self._attempts),
            completion_tokens=sum(attempt.completion_tokens for attempt in self._attempts),
            shard=task.shard,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            started_at=self._started_at,
            finished_at=_now(),
            task_sha256=_sha256(f"{task.id}\0{task.name}\0{task.code_body}"),
            opt_kernel_sha256=_sha256(best.code) if best and best.code is not None else None,
        )


def _rank(tried: _Tried | None) -> tuple[bool, float]:
    """Faster candidates first, then by speedup."""
    if tried is None:
        return (False, -1.0)
    return (tried.outcome == Verdict.FASTER, tried.speedup or 0.0)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
