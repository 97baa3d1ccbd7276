"""Flower, looked at as a browser would."""

from __future__ import annotations

import base64
import socket
import urllib.error
import urllib.request


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def fetch(url: str, login: str | None = None) -> tuple[int, str, str]:
    """Status (0: no answer), headers and body."""
    request = urllib.request.Request(url, headers={"Origin": "http://evil.example"})  # noqa: S310
    if login:
        encoded = base64.b64encode(login.encode()).decode()
        request.add_header("Authorization", f"Basic {encoded}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, str(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, str(error.headers), error.read().decode()
    except OSError:
        return 0, "", ""
