"""A model behind an OpenAI-compatible endpoint.

Guarantee: an endpoint that throttles, fails, hangs or answers nonsense is trouble of ours and never
an answer; the key appears in no message, log or traceback. Price: a task waits for up to
`model_patience_s` before it goes back to its queue. The client library's own retries are off, so
that this policy is the only one.
"""

from __future__ import annotations

import email.utils
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import openai
from openai.types.chat import ChatCompletion

from hipopt.errors import ModelRefused, ModelUnavailable, PromptRefused
from hipopt.llm.interface import Message, ModelReply
from hipopt.records import KernelTask
from hipopt.settings import Settings

logger = logging.getLogger(__name__)

NO_KEY = "none"
"""Sent where no key is set: local servers want none, but the protocol has a place for it."""
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
LONGEST_RETRY_AFTER_S = 300.0

_RETRIABLE_STATUS = frozenset({408, 409, 425, 429})
_PROMPT_STATUS = frozenset({400, 413, 422})
"""These may mean this prompt alone, or every one."""
_CUT_NOTE = "\n\n[the reply was cut off here: it reached the limit of tokens]"


class ModelClient:
    """Asks one model. Safe to use from one process after a fork: connects on first use."""

    def __init__(
        self,
        settings: Settings,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._sleep, self._clock = sleep, clock
        self._client: openai.OpenAI | None = None

    def __repr__(self) -> str:
        return f"ModelClient(model={self.model!r}, base_url={self._url!r})"

    @property
    def model(self) -> str:
        """The model's name."""
        return self._settings.model or ""

    def ask(
        self,
        task: KernelTask,  # noqa: ARG002
        attempt: int,  # noqa: ARG002
        messages: Sequence[Message],
    ) -> ModelReply:
        """The model's answer.

        Raises:
            PromptRefused: the endpoint refuses these messages, and answers a tiny question.
            ModelUnavailable: the endpoint gave no usable answer for `model_patience_s`.
            ModelRefused: it will never answer as configured.
        """
        give_up_at = self._clock() + self._settings.model_patience_s
        tries = 0
        while True:
            try:
                return self._ask_once(messages)
            except _Trouble as trouble:
                wait_s = trouble.retry_after_s or self._backoff_s(tries)
                tries += 1
                if self._clock() + wait_s > give_up_at:
                    raise ModelUnavailable(
                        f"model endpoint {self._url}: {trouble.reason}; tried {tries} times"
                    ) from None
                logger.info(
                    "model endpoint in trouble", extra={"reason": trouble.reason, "wait_s": wait_s}
                )
                self._sleep(wait_s)
            except _Declined as declined:
                self.check()  # raises if it is the endpoint, not the prompt
                raise PromptRefused(str(declined)) from None

    def check(self) -> str:
        """One sentence on an endpoint that answered a tiny question just now.

        Raises:
            ModelUnavailable: it gave no usable answer.
            ModelRefused: it will never answer as configured.
        """
        hello = [Message(role="user", content="Answer with the word ready.")]
        try:
            self._ask_once(hello)
        except _Declined as declined:
            raise ModelRefused(str(declined)) from None
        except _Trouble as trouble:
            if trouble.reason != _EMPTY:
                raise ModelUnavailable(f"model endpoint {self._url}: {trouble.reason}") from None
        return f"{self.model} at {self._url} answers"

    def close(self) -> None:
        """Connections are closed; the next question opens new ones."""
        if self._client is not None:
            self._client.close()
            self._client = None

    @property
    def _url(self) -> str:
        return self._settings.base_url or "https://api.openai.com/v1"

    def _connected(self) -> openai.OpenAI:
        if self._client is None:
            self._client = openai.OpenAI(
                api_key=self._settings.api_key or NO_KEY,
                base_url=self._url,
                timeout=self._settings.model_timeout_s,
                max_retries=0,
            )
        return self._client

    def _ask_once(self, messages: Sequence[Message]) -> ModelReply:
        chat: Any = [message.to_json() for message in messages]
        try:
            completion = self._connected().chat.completions.create(
                model=self.model,
                messages=chat,
                temperature=self._settings.temperature,
                max_tokens=self._settings.max_tokens,
            )
        except openai.APIStatusError as error:
            raise self._classified(error) from None
        except openai.APITimeoutError:
            limit = self._settings.model_timeout_s
            raise _Trouble(f"no answer within {limit:g} s") from None
        except openai.APIConnectionError as error:
            cause = type(error.__cause__ or error).__name__
            raise _Trouble(f"can't be reached ({cause})") from None
        except (openai.OpenAIError, ValueError) as error:
            raise _Trouble(
                f"answered something that can't be read ({type(error).__name__})"
            ) from None
        return _reply(completion)

    def _classified(self, error: openai.APIStatusError) -> Exception:
        status = error.status_code
        said = self._safe(_one_line(error.message))
        if status >= 500 or status in _RETRIABLE_STATUS:
            return _Trouble(f"status {status}: {said}", _retry_after_s(error))
        advice = {
            401: "set the right key in OPENAI_API_KEY",
            403: "ask for access, or set another key in OPENAI_API_KEY",
            404: "check --base-url (it usually ends in /v1) and --model",
        }.get(status, "check --model, --max-tokens and the endpoint")
        kind = _Declined if status in _PROMPT_STATUS else ModelRefused
        return kind(
            f"model endpoint {self._url} refuses '{self.model}' with status {status}: {said}\n"
            f"To mend it: {advice}"
        )

    def _safe(self, text: str) -> str:
        """The text without the key, should the server echo it."""
        key = self._settings.api_key
        return text.replace(key, "***") if key else text

    def _backoff_s(self, tries: int) -> float:
        """Doubling waits with full jitter (Brooker, Exponential Backoff And Jitter, 2015)."""
        ceiling = min(FIRST_WAIT_S * 2.0**tries, LONGEST_WAIT_S)
        return random.uniform(ceiling / 2, ceiling)  # noqa: S311 (no secret)


_EMPTY = "answered without any text"


class _Trouble(Exception):
    """One failed request that is worth repeating."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.retry_after_s = reason, retry_after_s


class _Declined(Exception):
    """The endpoint refused a request in a way that may be the prompt's fault."""


def _reply(completion: object) -> ModelReply:
    if not isinstance(completion, ChatCompletion):
        raise _Trouble("answered something that is no chat completion")
    if not completion.choices:
        raise _Trouble("answered with an empty list of choices")
    choice = completion.choices[0]
    message = choice.message
    text = getattr(message, "content", None) or ""
    extra = getattr(message, "model_extra", None) or {}
    reasoning = extra.get("reasoning_content") or extra.get("reasoning")
    if not text and choice.finish_reason != "length":
        raise _Trouble(_EMPTY)
    usage = completion.usage
    return ModelReply(
        text=text + (_CUT_NOTE if choice.finish_reason == "length" else ""),
        reasoning=reasoning if isinstance(reasoning, str) else None,
        prompt_tokens=(usage.prompt_tokens or 0) if usage else 0,
        completion_tokens=(usage.completion_tokens or 0) if usage else 0,
    )


def _retry_after_s(error: openai.APIStatusError) -> float | None:
    """What `Retry-After` asks for, in seconds or as a date, within reason; None: nothing."""
    said = error.response.headers.get("retry-after")
    if not said:
        return None
    try:
        wait_s = float(said)
    except ValueError:
        try:
            wait_s = email.utils.parsedate_to_datetime(said).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(wait_s, 0.0), LONGEST_RETRY_AFTER_S)


def _one_line(text: str) -> str:
    return " ".join(str(text).split())[:300]
