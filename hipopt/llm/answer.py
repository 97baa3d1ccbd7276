"""Reading the body of a chat completion, as the many compatible servers write it.

Servers differ in what they leave out, so nothing but the choice list is taken for granted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hipopt.llm.interface import ModelReply
from hipopt.records import Record


class Unusable(Record, frozen=True, kw_only=True):
    """A body that is no chat completion, though the status said success."""

    reason: str
    """What is wrong, with the body; as long as that is."""


def read_answer(body: str) -> ModelReply | Unusable:
    """The reply in a response body. Its text is empty where the model gave none."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return Unusable(reason=_not_json(body))
    if not isinstance(answer, Mapping):
        return Unusable(reason="the answer is JSON, but no object")
    choice = _first(answer.get("choices"))
    if choice is None:
        return Unusable(reason=f"the answer has no choices: {body}")
    message, usage = _mapping(choice.get("message")), _mapping(answer.get("usage"))
    return ModelReply(
        text=_text(message.get("content")) or _text(message.get("refusal")),
        reasoning=_reasoning(message),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        cut_off=choice.get("finish_reason") == "length",
    )


def _not_json(body: str) -> str:
    if not body.strip():
        return "the answer is empty"
    if body.lstrip().startswith("<"):
        return f"the answer is a web page, not JSON: {body}"
    return f"the answer is no JSON, or was cut off: {body}"


def _first(choices: object) -> Mapping[str, Any] | None:
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        return choices[0]
    return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _reasoning(message: Mapping[str, Any]) -> str | None:
    """Reasoning beside the text, under either of the two names that are in use."""
    return _text(message.get("reasoning_content")) or _text(message.get("reasoning")) or None


def _text(content: object) -> str:
    """Text as a string, or as a list of parts of which some hold text.

    Half characters, which escapes in JSON can make, become question marks: no log can hold them.
    """
    if isinstance(content, str):
        return content.encode("utf-8", "replace").decode("utf-8")
    if isinstance(content, list):
        return "".join(_text(_mapping(part).get("text")) for part in content)
    return ""


def _count(tokens: object) -> int:
    return tokens if isinstance(tokens, int) and tokens > 0 else 0
