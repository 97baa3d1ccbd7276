"""One kernel's story: ask, splice, judge, feed back, keep the best.

Guarantee: what comes back is final and the kernel's own doing. Trouble on our side (the model's
endpoint, the device) leaves as an exception, and the kernel's story is then to begin anew.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, Self, TypeAlias, cast

import msgspec

from hipopt.devices import open_judge
from hipopt.errors import SourceError
from hipopt.llm.interface import ModelReply, PromptRefused, Proposer
from hipopt.llm.prompt import messages_for
from hipopt.llm.proposer import make_proposer
from hipopt.llm.reply import Malformed, parse_reply
from hipopt.llm.rounds import Round
from hipopt.records import FailureKind, Judgement, KernelTask, Record, ResultRow, Verdict, Workload
from hipopt.resultrow import Story, result_row
from hipopt.settings import Settings
from hipopt.source.capsule import Capsule
from hipopt.source.slice import slice_kernel
from hipopt.source.splice import SpliceFailure, splice

SHORT_HISTORY_CHARS = 4_000
"""Room for earlier attempts where the endpoint refused the prompt with all of them."""

log = logging.getLogger(__name__)


class Judge(Protocol):
    """Who says whether a candidate is correct and faster."""

    def prepare(self, reference: Capsule, workloads: tuple[Workload, ...]) -> Any:  # noqa: ANN401 (its own `Prepared`)
        """The reference compiled, its workloads qualified; a `Judgement`: it can't be judged."""

    def judge(self, prepared: Any, candidate: Capsule) -> Judgement:  # noqa: ANN401 (its own `Prepared`)
        """The verdict on a candidate."""


class Slicer(Protocol):
    """Cuts a capsule out of a file's text, or builds one of the kernel's code alone."""

    def __call__(self, source: str | None, name: str, *, code_body: str | None) -> Capsule:
        """The capsule; raises `SourceError`."""


Splicer: TypeAlias = Callable[[Capsule, str], Capsule | SpliceFailure]


class _Case(Record, frozen=True, kw_only=True):
    """A kernel that is ready for candidates."""

    task: KernelTask
    reference: Capsule
    prepared: Any
    """The judge's own `Prepared`."""


class Optimizer:
    """Takes kernels one at a time; holds what they share: proposer, judge, settings."""

    def __init__(
        self,
        settings: Settings,
        *,
        proposer: Proposer,
        judge: Judge,
        slicer: Slicer = slice_kernel,
        splicer: Splicer = splice,
    ) -> None:
        self._settings = settings
        self._proposer = proposer
        self._judge = judge
        self._slice = slicer
        self._splice = splicer

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """An optimiser with the proposer and the device that the settings name.

        Raises:
            UsageError: no source of candidates is named, or no such device.
            DeviceError: the device is not there.
        """
        judge = open_judge(settings)
        return cls(settings, proposer=make_proposer(settings), judge=judge)

    def optimize(self, task: KernelTask) -> ResultRow:
        """The kernel's final row.

        Raises:
            ModelUnavailable: the endpoint is down; nothing is known of the kernel.
            ModelRefused: the endpoint will never answer as configured.
            DeviceError: the device is sick; nothing is known of the kernel.
        """
        started_at = _now()
        story = self._story(task)
        return result_row(
            task, story, model=self._proposer.model, started_at=started_at, finished_at=_now()
        )

    def _story(self, task: KernelTask) -> Story:
        try:
            reference = self._slice(task.hip_source, task.name, code_body=task.code_body)
        except SourceError as error:
            return Story(hindrance=("source_error", str(error)))
        prepared = self._judge.prepare(reference, task.workloads)
        if isinstance(prepared, Judgement):
            kind = cast(FailureKind, prepared.verdict.value)
            return Story(hindrance=(kind, prepared.reason), hindrance_judgement=prepared)
        case = _Case(task=task, reference=reference, prepared=prepared)
        return Story(rounds=self._rounds(case))

    def _rounds(self, case: _Case) -> tuple[Round, ...]:
        rounds: list[Round] = []
        for number in range(1, self._settings.attempts + 1):
            reply = self._ask(case, number, rounds)
            if reply is None:
                break
            rounds.append(self._round(case, number, reply, rounds))
            _log_round(case.task, rounds[-1])
            if self._is_enough(rounds[-1]):
                break
        return tuple(rounds)

    def _ask(
        self, case: _Case, number: int, rounds: Sequence[Round]
    ) -> ModelReply | PromptRefused | None:
        """The reply; a refused prompt is sent once more with less of the history."""
        messages = functools.partial(
            messages_for,
            case.reference,
            case.prepared.workloads,
            self._settings.prompt_arch,
            rounds,
        )
        reply = self._proposer.ask(case.task, number, messages())
        if isinstance(reply, PromptRefused) and rounds:
            shorter = messages(max_history_chars=SHORT_HISTORY_CHARS)
            reply = self._proposer.ask(case.task, number, shorter)
        return reply

    def _round(
        self, case: _Case, number: int, reply: ModelReply | PromptRefused, rounds: Sequence[Round]
    ) -> Round:
        if isinstance(reply, PromptRefused):
            return Round(number=number, outcome="prompt_refused", reason=reply.reason)
        parsed = parse_reply(reply.text, case.reference.kernel)
        if isinstance(parsed, Malformed):
            blank = Round(number=number, outcome="malformed_reply", reason=_why(parsed, reply))
            return _with_tokens(blank, reply)
        thinking = parsed.thinking or reply.reasoning
        twin = next((r for r in rounds if r.code == parsed.code), None)
        if twin is not None:
            again = _repeated(twin, number)
        else:
            again = self._judged(case, number, parsed.code)
        return _with_tokens(msgspec.structs.replace(again, thinking=thinking), reply)

    def _judged(self, case: _Case, number: int, code: str) -> Round:
        candidate = self._splice(case.reference, code)
        if isinstance(candidate, SpliceFailure):
            outcome = "malformed_reply" if candidate.malformed else Verdict.REJECTED.value
            return Round(number=number, outcome=outcome, reason=candidate.reason, code=code)
        began_s = time.monotonic()
        judgement = self._judge.judge(case.prepared, candidate)
        return Round(
            number=number,
            outcome=judgement.verdict.value,
            reason=judgement.reason,
            code=code,
            judgement=judgement,
            seconds=time.monotonic() - began_s,
        )

    def _is_enough(self, latest: Round) -> bool:
        """Whether another attempt is of no use, or not wanted."""
        if latest.outcome == "prompt_refused":
            return True
        wanted = self._settings.stop_at_speedup
        return wanted is not None and latest.faster and (latest.speedup or 0.0) >= wanted


def _why(malformed: Malformed, reply: ModelReply) -> str:
    if not reply.cut_off:
        return malformed.reason
    return f"{malformed.reason}; the reply reached the most tokens allowed, so be shorter"


def _repeated(twin: Round, number: int) -> Round:
    """The outcome of the same code, not judged again: the judge is fair but not cheap."""
    return msgspec.structs.replace(
        twin, number=number, repeats=twin.repeats or twin.number, seconds=0.0
    )


def _with_tokens(attempt: Round, reply: ModelReply) -> Round:
    return msgspec.structs.replace(
        attempt, prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens
    )


def _log_round(task: KernelTask, attempt: Round) -> None:
    fields = {"kernel": task.id, "attempt": attempt.number, "outcome": attempt.outcome}
    log.info("kernel.attempt", extra=fields | {"speedup": attempt.speedup})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
