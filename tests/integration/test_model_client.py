"""Facts about the model's client, proven with the real library against a real HTTP server."""

from __future__ import annotations

import logging
import socket
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from hipopt.errors import HipoptError, ModelRefused, ModelUnavailable, UsageError
from hipopt.llm.client import NO_KEY, ModelClient
from hipopt.llm.interface import Message, ModelReply, PromptRefused
from hipopt.records import KernelTask
from hipopt.settings import Settings
from tests.model_endpoint import Answer, Endpoint, FakeClock, completion, error

KEY = "sk-very-secret-0123456789"
TASK = KernelTask(id=7, name="k", code_body="")
MESSAGES = (Message(role="system", content="be fast"), Message(role="user", content="kernel"))
GOOD = completion("fine")


@pytest.fixture(autouse=True)
def _key_stays_secret(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test of this file may find the key in any log line, of our logger or another's."""
    caplog.set_level(logging.DEBUG)
    yield
    lines = [f"{record.getMessage()} {vars(record)}" for record in caplog.get_records("call")]
    assert not [line for line in lines if KEY in line]


def client_of(endpoint: Endpoint, clock: FakeClock | None = None, **settings: Any) -> ModelClient:
    given = {"model": "m", "base_url": endpoint.url, "api_key": KEY, **settings}
    return ModelClient(Settings(**given), clock or FakeClock())


def ask(*answers: Answer, **settings: Any) -> ModelReply | PromptRefused:
    with Endpoint(*answers) as endpoint, client_of(endpoint, **settings) as client:
        return client.ask(TASK, 1, MESSAGES)


def failure(kind: type[HipoptError], *answers: Answer, **settings: Any) -> str:
    """The message of the error that asking ends in, which never holds the key."""
    with pytest.raises(kind) as caught:
        ask(*answers, **settings)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert KEY not in shown
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_a_reply_comes_with_its_tokens_and_reasoning() -> None:
    """Text, reasoning and usage of a good answer are all kept."""
    assert ask(completion("fine", reasoning_content="because")) == ModelReply(
        text="fine", reasoning="because", prompt_tokens=11, completion_tokens=7
    )


def test_the_request_is_what_the_settings_say() -> None:
    """Model, messages, temperature, token limit and key reach the endpoint."""
    with Endpoint(GOOD) as endpoint, client_of(endpoint, max_tokens=99) as client:
        client.ask(TASK, 1, MESSAGES)
    assert endpoint.requests == [
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "be fast"},
                {"role": "user", "content": "kernel"},
            ],
            "temperature": 0.7,
            "max_tokens": 99,
        }
    ]
    assert endpoint.authorizations == [f"Bearer {KEY}"]


def test_no_key_is_needed_for_a_local_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key a placeholder is sent, and none is taken from the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", "not-to-be-sent")
    with Endpoint(GOOD) as endpoint, client_of(endpoint, api_key=None) as client:
        client.ask(TASK, 1, MESSAGES)
    assert endpoint.authorizations == [f"Bearer {NO_KEY}"]


TROUBLES = {
    "rate limit": error(429, "slow down"),
    "server error": error(500, "oops"),
    "bad gateway as a page": Answer("<html>bad gateway</html>", 502),
    "overloaded": error(529, "overloaded"),
    "page instead of JSON": Answer("<html>login</html>", headers={"Content-Type": "text/html"}),
    "cut-off JSON": Answer(GOOD.body[:40]),
    "cut-off connection": Answer(GOOD.body[:40], cut=True),
    "no JSON object": Answer("[]"),
    "empty body": Answer(""),
    "no choices": Answer('{"choices": []}'),
    "error with status 200": Answer('{"error": {"message": "upstream"}}'),
    "null content": completion(None),
    "null message": Answer('{"choices": [{"message": null}]}'),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_trouble_that_passes_is_waited_out(trouble: Answer) -> None:
    """After two troubled answers the third, a good one, is the reply."""
    clock = FakeClock()
    with Endpoint(trouble, trouble, GOOD) as endpoint, client_of(endpoint, clock) as client:
        reply = client.ask(TASK, 1, MESSAGES)
    assert isinstance(reply, ModelReply)
    assert reply.text == "fine"
    first, second = clock.slept
    assert 0.5 <= first <= 1.0
    assert 1.0 <= second <= 2.0


@pytest.mark.parametrize("silent", [Answer(hang=True), Answer(trickle=True)], ids=repr)
def test_a_server_that_hangs_is_given_up(silent: Answer) -> None:
    """A server that sends nothing, or blanks for ever, costs about the model's timeout."""
    reply = ask(silent, GOOD, model_timeout_s=1)
    assert isinstance(reply, ModelReply)
    assert reply.text == "fine"


def test_trouble_beyond_the_patience_is_ours() -> None:
    """When the patience is over, the error names URL, model and the last trouble."""
    message = failure(ModelUnavailable, error(503, "loading"), model_patience_s=60)
    assert "http://127.0.0.1" in message
    assert "'m'" in message
    assert "HTTP 503: loading" in message


def test_waiting_ends_with_the_patience() -> None:
    """Never is more slept than the patience allows."""
    clock = FakeClock()
    with (
        Endpoint(error(500, "oops")) as endpoint,
        client_of(endpoint, clock, model_patience_s=100) as client,
        pytest.raises(ModelUnavailable),
    ):
        client.ask(TASK, 1, MESSAGES)
    assert 30 < sum(clock.slept) <= 100


@pytest.mark.parametrize(
    ("header", "waited_s"),
    [("7", 7), ("Tue, 01 Jan 2030 00:00:30 GMT", 30), ("86400", 120)],
)
def test_retry_after_is_honoured_within_bounds(header: str, waited_s: float) -> None:
    """Seconds and dates both count, but a day is not waited."""
    clock = FakeClock()
    limited = error(429, "slow down", {"Retry-After": header})
    with Endpoint(limited, GOOD) as endpoint, client_of(endpoint, clock) as client:
        client.ask(TASK, 1, MESSAGES)
    assert clock.slept == [waited_s]


def test_nobody_listening_is_unavailable() -> None:
    """A refused connection is trouble that may pass, and then ours."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        failure_text = failure(ModelUnavailable, GOOD, base_url=url, model_patience_s=3)
    assert url in failure_text
    assert "no connection" in failure_text


REFUSALS = {
    "wrong key": (error(401, f"Incorrect API key provided: {KEY}"), "HIPOPT_API_KEY"),
    "key across the end of what is shown": (error(401, "x" * 290 + KEY), "HIPOPT_API_KEY"),
    "no credit": (error(402, "pay"), "topped up"),
    "forbidden": (error(403, "no access"), "may not use this model"),
    "unknown model": (error(404, "model m does not exist"), "base_url"),
    "wrong path": (Answer("<html>not found</html>", 404), "base_url"),
    "quota used up": (error(429, "quota", code="insufficient_quota"), "quota"),
    "every request is bad": (error(400, "max_tokens is too large"), "max_tokens"),
}


@pytest.mark.parametrize(("answer", "advice"), REFUSALS.values(), ids=REFUSALS)
def test_an_endpoint_that_will_never_answer_is_told_from_one_that_is_down(
    answer: Answer, advice: str
) -> None:
    """The error names URL, model, status and what to change, and holds no part of the key."""
    message = failure(ModelRefused, answer)
    assert "http://127.0.0.1" in message
    assert "'m'" in message
    assert f"HTTP {answer.status}" in message
    assert advice in message
    assert KEY[:8] not in message


TOO_LONG = error(400, "maximum context length is 10 tokens", code="context_length_exceeded")


def test_a_prompt_too_long_is_the_kernels_own_matter() -> None:
    """A refused prompt is a value if the endpoint answers a tiny one under the same settings."""
    reply = ask(TOO_LONG, GOOD)
    assert isinstance(reply, PromptRefused)
    assert "maximum context length" in reply.reason


def test_a_proven_endpoint_is_not_probed_again() -> None:
    """After a first reply, a refused prompt costs no second request."""
    with Endpoint(GOOD, TOO_LONG) as endpoint, client_of(endpoint) as client:
        client.ask(TASK, 1, MESSAGES)
        assert isinstance(client.ask(TASK, 2, MESSAGES), PromptRefused)
    assert len(endpoint.requests) == 2


def test_parameters_that_a_model_does_not_take_are_adapted() -> None:
    """Newer models' names for the token limit, and fixed temperatures, need no setting."""
    refusals = (
        error(400, "use max_completion_tokens", param="max_tokens", code="unsupported_parameter"),
        error(400, "only 1 is supported", param="temperature", code="unsupported_value"),
    )
    with Endpoint(*refusals, GOOD) as endpoint, client_of(endpoint, max_tokens=99) as client:
        client.ask(TASK, 1, MESSAGES)
    last = endpoint.requests[-1]
    assert last["max_completion_tokens"] == 99
    assert not {"max_tokens", "temperature"} & set(last)


def test_a_reply_at_the_token_limit_is_marked() -> None:
    """A cut-off reply is a reply, also where reasoning ate all of it."""
    reply = ask(completion(None, "length", reasoning="hm"))
    assert reply == ModelReply(
        text="", reasoning="hm", prompt_tokens=11, completion_tokens=7, cut_off=True
    )


def test_a_model_that_keeps_saying_nothing_has_answered() -> None:
    """The third empty answer is an empty reply, so that no kernel is asked for for ever."""
    reply = ask(completion(None))
    assert isinstance(reply, ModelReply)
    assert reply.text == ""


def test_content_in_parts_is_joined() -> None:
    """A list of text parts is read like a string."""
    reply = ask(completion([{"type": "text", "text": "fi"}, {"type": "text", "text": "ne"}]))
    assert isinstance(reply, ModelReply)
    assert reply.text == "fine"


def test_check_says_that_the_endpoint_answers() -> None:
    """One tiny request proves key, URL and model."""
    with Endpoint(GOOD) as endpoint, client_of(endpoint) as client:
        assert client.check() == f"model 'm' answers at {endpoint.url}"
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(error(500, "oops"), ModelUnavailable), (error(401, f"bad {KEY}"), ModelRefused)],
)
def test_check_does_not_wait(answer: Answer, kind: type[HipoptError]) -> None:
    """A check tells trouble at once, without the patience of a run."""
    clock = FakeClock()
    with (
        Endpoint(answer) as endpoint,
        client_of(endpoint, clock) as client,
        pytest.raises(kind) as caught,
    ):
        client.check()
    assert clock.slept == []
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("key", ["sk-secret\n", "sk secret", "sk-sécret"])
def test_a_key_that_no_header_can_carry_is_refused_unseen(key: str) -> None:
    """The library would quote such a key in its error."""
    with pytest.raises(UsageError) as caught:
        ModelClient(Settings(model="m", api_key=key))
    assert key not in str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1:8000/v1", "ftp://x/v1", "http://[x", "http://"])
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    """A mistyped URL is no outage to be waited out."""
    with pytest.raises(UsageError, match="base_url"):
        ModelClient(Settings(model="m", base_url=url))


def test_passwords_in_the_url_are_not_shown() -> None:
    """What names the endpoint in messages is scheme, host and path."""
    with ModelClient(Settings(model="m", base_url="http://me:pw@host:1/v1?key=x")) as client:
        assert client.url == "http://host:1/v1"


def test_no_repr_holds_the_key() -> None:
    """Neither the client nor the settings show it."""
    settings = Settings(model="m", api_key=KEY)
    with ModelClient(settings) as client:
        assert KEY not in f"{client!r} {settings!r} {settings}"
