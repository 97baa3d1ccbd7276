"""An OpenAI-compatible endpoint on this machine that answers as its script says."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    """One scripted answer."""

    body: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    """Keep the connection open and silent until the endpoint is closed."""
    trickle: bool = False
    """Send a blank every tenth of a second, without end."""
    cut: bool = False
    """Close the connection before the promised length is sent."""


def completion(content: Any, finish_reason: str = "stop", **message: Any) -> Answer:
    """A well-formed answer."""
    choice = {
        "index": 0,
        "finish_reason": finish_reason,
        "message": {"role": "assistant", "content": content, **message},
    }
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    body = {"id": "x", "object": "chat.completion", "created": 0, "model": "m"}
    return Answer(json.dumps({**body, "choices": [choice], "usage": usage}))


def error(status: int, message: str, headers: dict[str, str] | None = None, **more: Any) -> Answer:
    """An error in OpenAI's form."""
    body = json.dumps({"error": {"message": message, "type": "t", **more}})
    return Answer(body, status, headers or {})


class Endpoint:
    """Serves its answers in order, the last one again and again; keeps the requests' bodies."""

    def __init__(self, *answers: Answer) -> None:
        self.answers: Sequence[Answer] = answers
        self.requests: list[dict[str, Any]] = []
        self.authorizations: list[str] = []
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def next_answer(self) -> Answer:
        """The answer to the request that was noted last."""
        return self.answers[min(len(self.requests), len(self.answers)) - 1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                endpoint.requests.append(json.loads(self.rfile.read(length)))
                endpoint.authorizations.append(self.headers["Authorization"])
                self.answer(endpoint.next_answer())

            def answer(self, answer: Answer) -> None:
                self.close_connection = True
                if answer.hang:
                    endpoint.closing.wait(20)
                    return
                body = answer.body.encode()
                self.send_response(answer.status)
                for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                    self.send_header(name, value)
                claimed = len(body) + (1000 if answer.cut or answer.trickle else 0)
                self.send_header("Content-Length", str(claimed))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(body)
                if answer.trickle:
                    self.trickle()

            def trickle(self) -> None:
                try:
                    while not endpoint.closing.wait(0.1):
                        self.wfile.write(b" ")
                        self.wfile.flush()
                except OSError:
                    return  # the client has had enough

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name)
                """Say nothing."""

        return Handler


class FakeClock:
    """A clock that sleeping moves on, at once; keeps how long was slept."""

    def __init__(self, now: Any = None) -> None:
        self.slept: list[float] = []
        self._now = now

    def monotonic_s(self) -> float:
        """The seconds slept so far."""
        return sum(self.slept)

    def utc_now(self) -> Any:
        """The moment given."""
        from datetime import UTC, datetime

        return self._now or datetime(2030, 1, 1, tzinfo=UTC)

    def sleep(self, seconds: float) -> None:
        """Note the seconds."""
        self.slept.append(seconds)
