"""Messages are looked at as they arrive, before anything else reads them.

Whoever can write to the broker can lay anything into a queue. `objection` says what is wrong with
it, and never raises, whatever it is.
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import redis

from hipopt.messages import MAX_MESSAGE_BYTES, MAX_TASK_ID_CHARS, MessageError, decode_task

MAX_RAW_BYTES = MAX_MESSAGE_BYTES // 3 * 4 + 1024 * 1024
"""A message as it lies in Redis: its body in base64, and its headers."""


def rejected_key(namespace: str) -> str:
    """The Redis list of what was found in a queue and is no message of ours."""
    return f"{namespace}.rejected"


def rejected_count(client: redis.Redis, namespace: str) -> int:
    """How many of them are kept."""
    count: Any = client.llen(rejected_key(namespace))
    return int(count)


class _Properties(msgspec.Struct):
    """What kombu needs of a message's properties."""

    delivery_tag: Annotated[str, msgspec.Meta(min_length=1)]
    delivery_info: dict[str, Any]
    body_encoding: Literal["base64"]
    correlation_id: str | None = None
    reply_to: str | None = None
    priority: int | None = None


class _Envelope(msgspec.Struct, rename={"content_type": "content-type"}):
    """A message as kombu lays it into a list, whatever its body."""

    body: str
    properties: _Properties
    headers: dict[str, Any]
    content_type: Literal["application/json"]


class _TaskHeaders(msgspec.Struct):
    """The headers of Celery's protocol 2, as far as a worker acts upon them."""

    task: Literal["hipopt.optimize_kernel"]
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=2 * MAX_TASK_ID_CHARS)]
    retries: Annotated[int, msgspec.Meta(ge=0)] = 0
    eta: datetime | None = None
    expires: datetime | None = None
    timelimit: tuple[float | None, float | None] = (None, None)
    shadow: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    origin: str | None = None
    group: None = None
    compression: None = None
    """Refused: nothing of ours is compressed, and a small message may unpack to gigabytes."""


_envelope = msgspec.json.Decoder(_Envelope)
_call = msgspec.json.Decoder(tuple[tuple[Any], dict[str, Any], dict[str, Any]])


def objection(raw: bytes, *, is_task: bool) -> str | None:
    """Why this may not be read any further; None: it has the form of a message of ours.

    Args:
        raw: what lay in the queue.
        is_task: it lay where only tasks belong, so it has to be one in every detail. Otherwise
            just what wraps the body is looked at.
    """
    if len(raw) > MAX_RAW_BYTES:
        return f"{len(raw)} bytes, {MAX_RAW_BYTES} are allowed"
    try:
        envelope = _envelope.decode(raw)
        if envelope.headers.get("compression") is not None:
            return "it is compressed"
        body = base64.b64decode(envelope.body, validate=True)
        if is_task:
            _check_task(envelope.headers, body)
    except (MessageError, ValueError) as error:
        return str(error) or type(error).__name__
    except RecursionError:
        return "it is nested too deeply"
    return None


def _check_task(headers: dict[str, Any], body: bytes) -> None:
    """These are the headers and the body of a kernel's task, or MessageError or ValueError."""
    msgspec.convert(headers, _TaskHeaders)
    arguments, keywords, embedded = _call.decode(body)
    if keywords or any(embedded.values()):
        raise MessageError("a task with keyword arguments, callbacks or a chain")
    decode_task(arguments[0])
