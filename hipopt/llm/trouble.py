"""What a failed request means: ask again, change the prompt, or change the settings."""

from __future__ import annotations

from datetime import datetime
from enum import Enum, auto
from http import HTTPStatus

import openai

from hipopt.llm.patience import retry_after_s
from hipopt.records import Record


class Means(Enum):
    """What is to be done about a failed request."""

    ASK_AGAIN = auto()  # the endpoint's own trouble: it passes
    CHANGE_REQUEST = auto()  # this request is refused; another one may not be
    CHANGE_SETTINGS = auto()  # every request will be refused


class Trouble(Record, frozen=True, kw_only=True):
    """A failed request."""

    means: Means
    said: str
    """What happened, or what the endpoint said, which may hold the key."""
    status: int | None = None
    """None: there was no answer, or no usable one."""
    parameter: str | None = None
    """The request field that the endpoint names as the cause."""
    retry_after_s: float | None = None


_PASSES = {408, 409, 425, 429}
_ABOUT_THE_REQUEST = {400, 413, 422}

ADVICE = {
    401: "check the key in OPENAI_API_KEY (or HIPOPT_API_KEY)",
    402: "the account has to be topped up",
    403: "the key in OPENAI_API_KEY may not use this model",
    404: "check base_url (it mostly ends in /v1) and the model's name",
    429: "the account's quota is used up",
}


def what_it_means(error: openai.APIError, now: datetime) -> Trouble:
    """A failed request, by the type and status of its error and never by its wording."""
    if isinstance(error, openai.APIStatusError):
        return Trouble(
            means=_means(error),
            said=_said(error),
            status=error.status_code,
            parameter=error.param if isinstance(error.param, str) else None,
            retry_after_s=retry_after_s(error.response.headers, now),
        )
    if isinstance(error, openai.APITimeoutError):
        return Trouble(means=Means.ASK_AGAIN, said="no answer in time")
    cause = error.__cause__
    detail = str(cause) or type(cause).__name__ if cause else str(error)
    return Trouble(means=Means.ASK_AGAIN, said=f"no connection: {detail}")


def _means(error: openai.APIStatusError) -> Means:
    status = error.status_code
    if error.code == "insufficient_quota":
        return Means.CHANGE_SETTINGS
    if status in _PASSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Means.ASK_AGAIN
    if status in _ABOUT_THE_REQUEST:
        return Means.CHANGE_REQUEST
    return Means.CHANGE_SETTINGS


def _said(error: openai.APIStatusError) -> str:
    body = error.body
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else error.message
