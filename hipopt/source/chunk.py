"""What a file is cut into, and what encloses it."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from hipopt.source.tokens import Token

FrameKind: TypeAlias = Literal["namespace", "linkage", "condition"]


class Frame(NamedTuple):
    """Something that encloses pieces: a namespace, an `extern "C"` block, or a branch of an #if."""

    kind: FrameKind
    start: int
    """Offset of its first token; two frames of one file never share it."""
    headers: tuple[str, ...]
    """`namespace a {`; of a condition all directives up to the branch meant."""
    origin: str = ""
    """Tells the frames of two files apart."""


class Chunk(NamedTuple):
    """One piece: a declaration up to its `;`, a definition up to its `}`, or one directive."""

    start: int
    end: int
    frames: tuple[Frame, ...]
    """From the outermost inwards."""
    tokens: tuple[Token, ...]
