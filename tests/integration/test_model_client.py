"""The real openai client against a local HTTP server that behaves well, and then doesn't."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from hipopt.errors import HipoptError, ModelRefused, ModelUnavailable, PromptRefused
from hipopt.llm.client import ModelClient
from hipopt.llm.interface import Message, ModelReply
from hipopt.records import KernelTask
from hipopt.settings import Settings

KEY = "sk-very-secret-key"
TASK = KernelTask(id=1, name="k", code_body="")
MESSAGES = [Message(role="user", content="faster, please")]

Answer = tuple[int, dict[str, str], bytes]


def completion(content: str | None = "done", **choice: Any) -> Answer:
    body = {
        "id": "1", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": content}, **choice}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }  # fmt: skip
    return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()


def failure(status: int, message: str = "no", **headers: str) -> Answer:
    body = json.dumps({"error": {"message": message}}).encode()
    return status, {"Content-Type": "application/json", **headers}, body


class Endpoint:
    """A server that gives scripted answers, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[Answer | Callable[[], None]] = []
        self.requests: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.released = threading.Event()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                endpoint.requests.append(json.loads(self.rfile.read(length)))
                endpoint.keys.add(self.headers["Authorization"])
                answer = endpoint.answers[0]
                if len(endpoint.answers) > 1:
                    endpoint.answers.pop(0)
                if callable(answer):
                    answer()
                    return
                status, headers, body = answer
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1"

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    yield server
    server.close()


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


def ask(endpoint: Endpoint, clock: Clock | None = None, **changes: Any) -> ModelReply:
    clock = clock or Clock()
    settings = Settings(model="m", base_url=endpoint.url, api_key=KEY, model_timeout_s=5)
    client = ModelClient(
        msgspec.structs.replace(settings, **changes), sleep=clock.sleep, clock=lambda: clock.now
    )
    try:
        return client.ask(TASK, 1, MESSAGES)
    finally:
        client.close()


def test_a_good_answer_comes_with_its_tokens(endpoint: Endpoint) -> None:
    """Text and usage come out; model, messages and key go in."""
    endpoint.answers = [completion("faster")]
    reply = ask(endpoint)
    assert reply == ModelReply(text="faster", prompt_tokens=11, completion_tokens=7)
    assert endpoint.requests[0]["model"] == "m"
    assert endpoint.requests[0]["messages"] == [{"role": "user", "content": "faster, please"}]
    assert endpoint.keys == {f"Bearer {KEY}"}


def test_reasoning_beside_the_text_is_kept(endpoint: Endpoint) -> None:
    """What reasoning models return in a field of its own becomes the thinking."""
    message = {"role": "assistant", "content": "code", "reasoning_content": "hmm"}
    endpoint.answers = [completion(message=message)]
    assert ask(endpoint).reasoning == "hmm"


@pytest.mark.parametrize("when", ["7", formatdate(time.time() + 7, usegmt=True)])
def test_retry_after_is_honoured(endpoint: Endpoint, when: str) -> None:
    """After 429 the client waits as long as it was told, in seconds or until a date."""
    endpoint.answers = [failure(429, **{"Retry-After": when}), completion()]
    clock = Clock()
    assert ask(endpoint, clock).text == "done"
    assert clock.naps == [pytest.approx(7, abs=2)]


def test_trouble_is_ridden_out(endpoint: Endpoint) -> None:
    """Server errors, cut-off JSON, HTML, no choices and no content are asked again."""
    good = completion()
    endpoint.answers = [
        failure(500),
        failure(503),
        (200, {"Content-Type": "application/json"}, good[2][:40]),
        (200, {"Content-Type": "text/html"}, b"<html>proxy</html>"),
        (200, {"Content-Type": "application/json"}, b'{"choices": []}'),
        (200, {"Content-Type": "application/json"}, b"[]"),
        (200, {"Content-Type": "application/json"}, b'{"choices": [{}]}'),
        completion(None),
        good,
    ]
    clock = Clock()
    assert ask(endpoint, clock).text == "done"
    assert len(endpoint.requests) == 9
    assert len(clock.naps) == 8


def test_an_endpoint_that_stays_down_is_unavailable(endpoint: Endpoint) -> None:
    """After `model_patience_s` it is our trouble, said with address, reason and tries."""
    endpoint.answers = [failure(500, "kaput")]
    clock = Clock()
    with pytest.raises(ModelUnavailable, match=r"127\.0\.0\.1.*status 500.*kaput.*tried \d+ times"):
        ask(endpoint, clock, model_patience_s=100)
    assert clock.now <= 100


def test_a_hang_ends_at_the_timeout(endpoint: Endpoint) -> None:
    """A server that never answers costs `model_timeout_s`, not for ever."""
    endpoint.answers = [lambda: endpoint.released.wait(60) and None]
    with pytest.raises(ModelUnavailable, match="no answer within 1 s"):
        ask(endpoint, model_timeout_s=1, model_patience_s=0)


def test_nobody_listening_is_unavailable() -> None:
    """A refused connection is waited out like a server error."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    settings = Settings(model="m", base_url=url, api_key=KEY, model_patience_s=0)
    with pytest.raises(ModelUnavailable, match="can't be reached"):
        ModelClient(settings).ask(TASK, 1, MESSAGES)


@pytest.mark.parametrize(("status", "advice"), [(401, "OPENAI_API_KEY"), (404, "--base-url")])
def test_a_wrong_key_or_address_is_refused_at_once(
    endpoint: Endpoint, status: int, advice: str
) -> None:
    """What will never heal is not repeated, and the message says what to change."""
    endpoint.answers = [failure(status, f"bad key {KEY}")]
    with pytest.raises(ModelRefused, match=advice):
        ask(endpoint)
    assert len(endpoint.requests) == 1


def test_the_key_appears_nowhere(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    """Not in a message, a traceback, a repr or a log, though the server echoes it."""
    caplog.set_level(logging.DEBUG)
    for answer in (failure(401, f"bad key {KEY}"), failure(500, f"log of {KEY}")):
        endpoint.answers = [answer]
        with pytest.raises(HipoptError) as caught:
            ask(endpoint, model_patience_s=0)
        error = caught.value
        told = "".join(traceback.format_exception(error)) + repr(error) + str(error)
        assert KEY not in told
    assert KEY not in repr(ModelClient(Settings(model="m", api_key=KEY)))
    assert KEY not in caplog.text


def test_a_prompt_that_is_too_long_is_the_prompts_fault(endpoint: Endpoint) -> None:
    """A 400 is held against the prompt only if the endpoint answers a tiny one."""
    endpoint.answers = [failure(400, "context length exceeded"), completion()]
    with pytest.raises(PromptRefused, match="context length"):
        ask(endpoint)
    endpoint.answers = [failure(400, "unknown parameter")]
    with pytest.raises(ModelRefused, match="unknown parameter"):
        ask(endpoint)
