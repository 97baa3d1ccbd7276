"""A model behind an OpenAI-compatible endpoint.

Guarantee: the key goes to the endpoint and nowhere else, also where the endpoint echoes it. Trouble
that passes (throttling, server errors, hangs, unusable answers) is waited out for
`model_patience_s` a question; one request never lasts much longer than `model_timeout_s`. Price: a
question may take the sum of both. Retrying is ours alone (the library's is off): its budget is a
number of retries, ours is time, and it knows nothing of answers that are unusable in spite of
status 200.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
import openai

from hipopt.deadline import DeadlinePassed, within
from hipopt.errors import ModelRefused, ModelUnavailable, UsageError
from hipopt.llm.answer import Unusable, read_answer
from hipopt.llm.interface import Message, ModelReply, PromptRefused
from hipopt.llm.patience import Clock, Patience, SystemClock
from hipopt.llm.trouble import ADVICE, Means, Trouble, what_it_means
from hipopt.records import KernelTask
from hipopt.settings import Settings

NO_KEY = "none"
"""Sent where no key is set: local servers want none, but the client library does."""
MAX_EMPTY = 3
"""An answer without text is the endpoint's trouble, but at the third request it is the model's."""
MAX_SAID_CHARS = 300
MAX_CHECK_S = 60.0
"""A check is for a person who waits for it."""
TRICKLE_SLACK_S = 1.0
"""A server that is silent runs into the library's timeout; one that trickles, into ours, later."""

PROBE = (Message(role="user", content="Reply with the word OK."),)

log = logging.getLogger(__name__)


class ModelClient:
    """A `Proposer` that asks the model named in the settings. Closed by `close` or `with`."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        if not settings.model:
            raise UsageError("no model is set: pass --model or set HIPOPT_MODEL")
        _check_key(settings.api_key)
        _check_url(settings.base_url)
        self.model = settings.model
        self._key = settings.api_key
        self._timeout_s = settings.model_timeout_s
        self._patience_s = settings.model_patience_s
        self._parameters: dict[str, Any] = {
            "temperature": settings.temperature,
            "max_tokens": settings.max_tokens,
        }
        self._clock = clock or SystemClock()
        self._has_answered = False
        self._client = openai.OpenAI(
            api_key=settings.api_key or NO_KEY,
            base_url=settings.base_url,
            max_retries=0,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Connections to the endpoint are closed."""
        self._client.close()

    @property
    def url(self) -> str:
        """The endpoint, without any password or query in it."""
        parts = urlsplit(str(self._client.base_url))
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"

    def ask(
        self, task: KernelTask, attempt: int, messages: Sequence[Message]
    ) -> ModelReply | PromptRefused:
        """The model's reply. Its text is empty where the model keeps giving none.

        Raises:
            ModelUnavailable: trouble lasted longer than `model_patience_s`.
            ModelRefused: the endpoint refuses every request; the message says what to change.
        """
        patience = Patience(self._patience_s, self._clock)
        for number in itertools.count(1):
            outcome = self._outcome(messages)
            if isinstance(outcome, ModelReply) and _is_empty(outcome) and number < MAX_EMPTY:
                outcome = _NO_TEXT
            if not isinstance(outcome, Trouble):
                return outcome
            if outcome.means is not Means.ASK_AGAIN:
                raise self._refused(outcome)
            log.warning("model.retry", extra=self._fields(task, attempt, outcome))
            if not patience.wait(outcome.retry_after_s):
                raise self._unavailable(outcome, patience.spent_s)
        raise AssertionError("the loop above has no end")

    def check(self) -> str:
        """One sentence that says that the endpoint answers, proven by one tiny request.

        Raises:
            ModelUnavailable: it doesn't answer now.
            ModelRefused: it will not as configured.
        """
        outcome = self._request(PROBE, min(self._timeout_s, MAX_CHECK_S))
        if isinstance(outcome, ModelReply):
            return f"model '{self.model}' answers at {self.url}"
        if outcome.means is Means.ASK_AGAIN:
            raise self._unavailable(outcome, 0.0)
        raise self._refused(outcome)

    def _outcome(self, messages: Sequence[Message]) -> ModelReply | PromptRefused | Trouble:
        outcome = self._request(messages)
        if isinstance(outcome, Trouble) and outcome.means is Means.CHANGE_REQUEST:
            return self._prompt_or_settings(outcome)
        return outcome

    def _request(
        self, messages: Sequence[Message], timeout_s: float | None = None
    ) -> ModelReply | Trouble:
        """The outcome of a request with parameters that this model takes."""
        timeout_s = timeout_s or self._timeout_s
        outcome = self._request_once(messages, timeout_s)
        while isinstance(outcome, Trouble) and self._adapt(outcome):
            outcome = self._request_once(messages, timeout_s)
        return outcome

    def _request_once(self, messages: Sequence[Message], timeout_s: float) -> ModelReply | Trouble:
        """One request's outcome. Errors become values here, so that none is chained to ours."""
        plain: Any = [m.to_json() for m in messages]
        create = functools.partial(
            self._client.chat.completions.with_raw_response.create,
            model=self.model,
            messages=plain,
            timeout=timeout_s,
            **self._parameters,
        )
        try:
            # The library bounds the silence between two bytes, not the whole of an answer.
            response = within(timeout_s + TRICKLE_SLACK_S, create)
        except DeadlinePassed:
            return Trouble(means=Means.ASK_AGAIN, said="no complete answer in time")
        except openai.APIError as error:
            return self._masked(what_it_means(error, self._clock.utc_now()))
        answer = read_answer(response.text)
        if isinstance(answer, Unusable):
            return self._masked(Trouble(means=Means.ASK_AGAIN, said=answer.reason))
        self._has_answered = True
        return answer

    def _adapt(self, trouble: Trouble) -> bool:
        """Whether a parameter that this model does not take was replaced or left out."""
        if trouble.means is not Means.CHANGE_REQUEST or trouble.parameter not in self._parameters:
            return False
        value = self._parameters.pop(trouble.parameter)
        if trouble.parameter == "max_tokens":
            self._parameters["max_completion_tokens"] = value
        log.info("model.adapted", extra={"model": self.model, "parameter": trouble.parameter})
        return True

    def _prompt_or_settings(self, trouble: Trouble) -> PromptRefused | Trouble:
        """Whose fault a refused request is: the prompt's, if a tiny one is answered."""
        if not self._has_answered:
            probed = self._request(PROBE)
            if isinstance(probed, Trouble):
                return probed
        return PromptRefused(reason=f"the model endpoint refused the prompt: {trouble.said}")

    def _masked(self, trouble: Trouble) -> Trouble:
        """The trouble fit to be shown: without the key, on one line, not too long."""
        said = trouble.said.replace(self._key, "***") if self._key else trouble.said
        flat = " ".join(said.split())
        short = flat if len(flat) <= MAX_SAID_CHARS else flat[:MAX_SAID_CHARS] + " ..."
        return msgspec.structs.replace(trouble, said=short)

    def _unavailable(self, trouble: Trouble, spent_s: float) -> ModelUnavailable:
        return ModelUnavailable(
            f"{self.url} gave no answer from model '{self.model}' in {spent_s:.0f} s, lastly: "
            f"{_status(trouble)}{trouble.said}; see that it is up, or raise HIPOPT_MODEL_PATIENCE_S"
        )

    def _refused(self, trouble: Trouble) -> ModelRefused:
        advice = ADVICE.get(trouble.status or 0, "check base_url, model and max_tokens")
        return ModelRefused(
            f"{self.url} refuses model '{self.model}': {_status(trouble)}{trouble.said}; {advice}"
        )

    def _fields(self, task: KernelTask, attempt: int, trouble: Trouble) -> dict[str, object]:
        return {
            "kernel": task.id,
            "attempt": attempt,
            "model": self.model,
            "status": trouble.status,
            "said": trouble.said,
        }


_NO_TEXT = Trouble(means=Means.ASK_AGAIN, said="the answer has no text")


def _is_empty(reply: ModelReply) -> bool:
    return not reply.text.strip() and not reply.cut_off


def _status(trouble: Trouble) -> str:
    return "" if trouble.status is None else f"HTTP {trouble.status}: "


def _check_key(key: str | None) -> None:
    """A key that no header can carry is refused here: the library would quote it in its error."""
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
        raise UsageError("the API key holds a space, a line break or a character beyond ASCII")


def _check_url(url: str | None) -> None:
    if url is None:
        return
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError("base_url is no URL such as http://127.0.0.1:8000/v1")
