"""What the optimiser asks of a source of candidates: a model, recorded replies, or a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from hipopt.records import KernelTask, Record


class Message(Record, frozen=True, kw_only=True):
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


class ModelReply(Record, frozen=True, kw_only=True):
    """One answer, before parsing."""

    text: str
    reasoning: str | None = None
    """Reasoning that the endpoint returns beside the text; None if there is none."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cut_off: bool = False
    """True: the endpoint stopped the model at the most tokens of one reply."""


class PromptRefused(Record, frozen=True, kw_only=True):
    """The endpoint answers other prompts, but not this one: most often it is too long."""

    reason: str
    """What the endpoint said, fit for the record."""


class Proposer(Protocol):
    """A source of candidates."""

    @property
    def model(self) -> str:
        """Name for the record: the model's, or the replayed file's."""

    def ask(
        self, task: KernelTask, attempt: int, messages: Sequence[Message]
    ) -> ModelReply | PromptRefused | None:
        """The answer to attempt `attempt` (from 1); None: nothing more to propose for this kernel.

        Raises:
            PromptRefused: the endpoint refuses these messages, though it answers others.
            ModelUnavailable: the endpoint is down; the task is to be tried again later.
            ModelRefused: the endpoint will never answer as configured.
        """
