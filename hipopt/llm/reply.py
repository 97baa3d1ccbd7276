"""Reading a model's answer: where the kernel is, and what the model thought.

Understood: a `hip` and a `thinking` block in either order; one plain fence; fences of related tags
(cpp, cuda, c++); a `<think>` part before the answer, its opening tag given or not; fences inside
the thinking; `~~~` fences; any line ending. All else is malformed, with a reason for the model.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from hipopt.records import Record

CODE_TAGS = ("hip", "cpp", "c++", "cuda", "cu", "cc", "c")
THINKING_TAGS = frozenset({"thinking", "think", "thoughts", "reasoning"})

_FENCE = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})[ \t]*([\w+.#-]*)[^\n`]*$")
_THINK = re.compile(r"\A\s*<think(?:ing)?>(.*?)</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_THINK_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_THINK_START = re.compile(r"\A\s*<think(?:ing)?>", re.IGNORECASE)


class Candidate(Record, frozen=True, kw_only=True):
    """A kernel that a model proposes."""

    code: str
    """As the model gave it: a file, a function with its helpers, or a body."""
    thinking: str | None = None


class Malformed(Record, frozen=True, kw_only=True):
    """Why no kernel could be read from a reply."""

    reason: str


class _Block(NamedTuple):
    tag: str
    text: str
    is_closed: bool


def parse_reply(text: str, kernel: str) -> Candidate | Malformed:
    """The candidate in a reply, or why there is none.

    Args:
        text: the whole reply.
        kernel: name of the kernel function; of several blocks, the last that names it counts.
    """
    thought, answer = _split_thinking(text.replace("\r\n", "\n"))
    if answer is None:
        return Malformed(reason="the reply ends inside its <think> part, before any kernel")
    blocks = list(_blocks(answer))
    codes = _code_blocks(blocks, kernel)
    if not codes:
        if not answer.strip():
            return Malformed(reason="the reply is empty")
        return Malformed(reason="the reply holds no ```hip block with the kernel in it")
    chosen = codes[-1]
    if not chosen.is_closed:
        return Malformed(reason="the reply breaks off inside its ```hip block")
    if not chosen.text.strip():
        return Malformed(reason="the reply's ```hip block is empty")
    spoken = [block.text.strip() for block in blocks if block.tag in THINKING_TAGS]
    thinking = "\n\n".join(part for part in (thought, *spoken) if part)
    return Candidate(code=chosen.text.strip("\n") + "\n", thinking=thinking or None)


def _split_thinking(text: str) -> tuple[str, str | None]:
    """The `<think>` part and the answer after it; None where the thinking never ends."""
    if whole := _THINK.match(text):
        return whole.group(1).strip(), text[whole.end() :]
    if _THINK_START.match(text):
        return text, None
    end = _THINK_END.search(text)
    if end and "```" not in text[: end.start()]:
        return text[: end.start()].strip(), text[end.end() :]
    return "", text


def _blocks(text: str) -> list[_Block]:
    """All fenced blocks in order of their end; a tagged fence inside a block opens another one."""
    found: list[_Block] = []
    opened: list[tuple[str, str, list[str]]] = []
    for line in text.split("\n"):
        fence = _FENCE.match(line)
        if fence is None:
            for _, _, lines in opened:
                lines.append(line)
            continue
        marks, tag = fence.group(1), fence.group(2).lower()
        if opened and not tag and marks[0] == opened[-1][0][0] and len(marks) >= len(opened[-1][0]):
            _, name, lines = opened.pop()
            found.append(_Block(name, "\n".join(lines), is_closed=True))
        else:
            opened.append((marks, tag, []))
    found += [_Block(tag, "\n".join(lines), is_closed=False) for _, tag, lines in opened]
    return found


def _code_blocks(blocks: list[_Block], kernel: str) -> list[_Block]:
    """The blocks of the best kind there is that name the kernel, else all of that kind."""
    kinds = (
        [b for b in blocks if b.tag == "hip"],
        [b for b in blocks if b.tag in CODE_TAGS],
        [b for b in blocks if not b.tag],
    )
    names = re.compile(rf"\b{re.escape(kernel.rpartition('::')[2])}\b")
    for kind in kinds:
        if kind:
            return [b for b in kind if names.search(b.text)] or kind
    return []
