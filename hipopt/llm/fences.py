"""Fenced blocks in Markdown as language models write it: nested, unclosed, with any tag.

Like CommonMark's fences, but a fence with a tag inside a block opens a block of its own, so that
code inside a block of prose does not end that block at its first closing fence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_FENCE = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})[ \t]*(.*?)[ \t]*$")


@dataclass(kw_only=True, slots=True)
class Block:
    """A fenced block."""

    fence: str
    """The run of backticks or tildes that opened it."""
    tag: str
    """The first word after the fence, in lower case; empty for a plain block."""
    nested_in: Block | None = None
    closed: bool = False
    """False: the text ended first."""
    lines: list[str] = field(default_factory=list)
    """Without those of blocks nested in this one."""

    @property
    def text(self) -> str:
        """The block's lines, without blank ones around them."""
        return "\n".join(self.lines).strip("\n")

    @property
    def outermost(self) -> bool:
        """Whether the block stands in no other block that ends."""
        return self.nested_in is None or (not self.nested_in.closed and self.nested_in.outermost)

    def ends_at(self, fence: str) -> bool:
        """Whether a plain fence closes this block."""
        return fence[0] == self.fence[0] and len(fence) >= len(self.fence)


def find_blocks(text: str) -> list[Block]:
    """All blocks, nested ones too, in the order in which they open."""
    blocks: list[Block] = []
    current: Block | None = None
    for line in text.split("\n"):
        match = _FENCE.match(line)
        fence, info = match.groups() if match else ("", "")
        if fence and (info or current is None) and "`" not in info:
            current = Block(fence=fence, tag=_tag(info), nested_in=current)
            blocks.append(current)
        elif current is not None and fence and not info and current.ends_at(fence):
            current.closed = True
            current = current.nested_in
        elif current is not None:
            current.lines.append(line)
    return blocks


def _tag(info: str) -> str:
    words = info.lower().split()
    return words[0].strip("{}.") if words else ""
