"""What came of the attempts so far: the material of feedback and of the result row."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from hipopt.records import Attempt, Judgement, Record, Verdict


class Round(Record, frozen=True, kw_only=True):
    """One attempt with all that came of it."""

    number: int
    """From 1."""
    outcome: str
    """As in `Attempt`."""
    reason: str
    code: str | None = None
    """None: the reply held no candidate."""
    thinking: str | None = None
    judgement: Judgement | None = None
    """None: the candidate never came before the judge."""
    repeats: int | None = None
    """The attempt that proposed the same code before; this one was not judged again."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    """Wall seconds of judging."""

    @property
    def correct(self) -> bool:
        """Whether the candidate computes what the reference computes."""
        return self.judgement is not None and self.judgement.verdict.correct

    @property
    def faster(self) -> bool:
        """Whether the candidate is correct and proven faster."""
        return self.judgement is not None and self.judgement.verdict is Verdict.FASTER

    @property
    def speedup(self) -> float | None:
        """The candidate's own speedup; None: not timed."""
        return None if self.judgement is None else self.judgement.speedup

    @property
    def code_sha256(self) -> str | None:
        """Hash of the code."""
        return None if self.code is None else hashlib.sha256(self.code.encode()).hexdigest()

    def to_attempt(self) -> Attempt:
        """The attempt as the result log holds it."""
        return Attempt(
            number=self.number,
            outcome=self.outcome,
            reason=self.reason,
            speedup=self.speedup,
            candidate_sha256=self.code_sha256,
            resources=None if self.judgement is None else self.judgement.resources,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            seconds=self.seconds,
        )


def best_of(rounds: Sequence[Round]) -> Round | None:
    """The correct attempt that is proven faster, then has the highest speedup, then came first."""
    correct = [r for r in rounds if r.correct]
    return max(correct, key=lambda r: (r.faster, r.speedup or 0.0), default=None)
