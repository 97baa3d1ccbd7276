"""Reading a model's reply: its code and its thinking, in whatever dress they come.

The form asked for is a block tagged `hip` and one tagged `thinking`. Any reply that leaves no doubt
which code is meant is taken as well, a mere body of the kernel included: whether it fits is for
the splicer and the judge to say. Everything else is `Malformed`, with a reason that the model can
act on. No text raises.
"""

from __future__ import annotations

import json
import re

from hipopt.llm.fences import Block, find_blocks
from hipopt.records import Record

CODE_TAGS = frozenset({"hip", "cpp", "c++", "cuda", "cu", "c", "cc", "cxx", "hpp", ""})
THINKING_TAGS = frozenset({"thinking", "think", "thoughts", "reasoning"})

CUT_OFF = "the reply ends inside a code block: it was cut off"


class Candidate(Record, frozen=True, kw_only=True):
    """What a reply proposes."""

    code: str
    """The kernel with its helpers, as the model wrote them."""
    thinking: str | None
    """None: the reply holds none."""


class Malformed(Record, frozen=True, kw_only=True):
    """A reply without a candidate."""

    reason: str
    """One sentence for the model."""


def parse_reply(text: str, kernel: str) -> Candidate | Malformed:
    """The candidate for `kernel` (qualified name or not) in a reply."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    name = kernel.rpartition("::")[2]
    if not text.strip():
        return Malformed(reason="the reply is empty")
    found = _from_json(text)
    if found is None:
        said, answer = _without_thinking(text)
        found = _from_blocks(answer, said, name) or _from_tags(answer, said, name)
    return found or Malformed(reason=_what_is_missing(text, name))


def _from_json(text: str) -> Candidate | None:
    """From an object `{"hip": ..., "thinking": ...}`, alone or in a block."""
    bodies = [text] + [b.text for b in find_blocks(text) if b.tag == "json"]
    for body in bodies:
        if not body.lstrip().startswith("{"):
            continue
        try:
            reply = json.loads(body)
        except (ValueError, RecursionError):
            continue
        code, thinking = reply.get("hip"), reply.get("thinking")
        if isinstance(code, str) and code.strip():
            return _candidate(code, thinking if isinstance(thinking, str) else "")
    return None


_THINKING = re.compile(r"^[ \t]*<think(ing)?>(.*?)</think(?(1)ing)>", re.DOTALL | re.M)


def _without_thinking(text: str) -> tuple[str, str]:
    """Thinking between tags, and the rest. A template may have eaten the opening tag."""
    if "</think>" in text:
        said, _, answer = text.rpartition("</think>")
        return said.replace("<think>", "").strip(), answer
    match = _THINKING.search(text)
    if match:
        return match[2].strip(), text[: match.start()] + text[match.end() :]
    return "", re.sub(r"\A\s*<think(?:ing)?>", "", text)


def _from_blocks(answer: str, said: str, name: str) -> Candidate | None:
    blocks = find_blocks(answer)
    thinking = [b.text for b in blocks if b.tag in THINKING_TAGS]
    codes = [b for b in blocks if b.tag in CODE_TAGS and b.text.strip()]
    if not codes:
        return None
    best = max(enumerate(codes), key=lambda item: (*_rank(item[1], name), item[0]))[1]
    return _candidate(best.text, "\n\n".join(thinking) or said) if best.closed else None


def _rank(block: Block, name: str) -> tuple[bool, bool, bool]:
    """The kernel before all else, an outermost block before a nested one, `hip` before `cpp`."""
    return defines(block.text, name), block.outermost, block.tag == "hip"


def _from_tags(answer: str, said: str, name: str) -> Candidate | None:
    """From `<hip>...</hip>`."""
    codes = [c for c in _HIP.findall(answer) if c.strip()]
    best = max(enumerate(codes), key=lambda item: (defines(item[1], name), item[0]), default=None)
    return _candidate(best[1], said) if best else None


_HIP = re.compile(r"<hip>(.*?)</hip>", re.DOTALL)


def defines(code: str, name: str) -> bool:
    """Whether the code holds a definition or declaration of the kernel."""
    return re.search(rf"__global__[^;{{}}]{{0,2000}}\b{re.escape(name)}\s*\(", code) is not None


def _candidate(code: str, thinking: str) -> Candidate:
    return Candidate(code=_clean(code).strip("\n"), thinking=_clean(thinking).strip() or None)


def _clean(text: str) -> str:
    """Text that UTF-8 can hold: escapes in JSON can give halves of characters."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _what_is_missing(text: str, name: str) -> str:
    blocks = find_blocks(_without_thinking(text)[1])
    if (blocks and not blocks[-1].closed) or text.count("<hip>") > text.count("</hip>"):
        return CUT_OFF
    return f"expected a block that begins with ```hip and holds the kernel '{name}'"
