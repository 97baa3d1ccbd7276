"""Pieces written out as a file: namespaces and conditions opened and closed around them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hipopt.source.chunk import Frame
from hipopt.source.piece import Piece
from hipopt.source.tokens import directive_argument, directive_name

_ONE_LINERS = frozenset({"macro", "undef", "using", "pragma"})


def lay_out(includes: str, pieces: Sequence[Piece]) -> str:
    """One readable file: the includes, then the pieces in the order given."""
    lines = [includes.rstrip("\n")]
    frames: tuple[Frame, ...] = ()
    before: Piece | None = None
    for piece in pieces:
        closing, opening = _cross(frames, piece.frames)
        lines += closing
        if before is None or closing or opening or not _sticks(before, piece):
            lines.append("")
        lines += opening
        lines.append(piece.comment + piece.text)
        frames, before = piece.frames, piece
    lines += _cross(frames, ())[0]
    return "\n".join(lines) + "\n"


def _sticks(before: Piece, piece: Piece) -> bool:
    """Whether two pieces stand on neighbouring lines."""
    single = "\n" not in before.text and "\n" not in piece.text
    return single and before.kind == piece.kind and not piece.comment


def _cross(old: tuple[Frame, ...], new: tuple[Frame, ...]) -> tuple[list[str], list[str]]:
    """The lines that lead out of `old`, and those that lead into `new`."""
    shared = 0
    while shared < min(len(old), len(new)) and old[shared] == new[shared]:
        shared += 1
    done = 0
    leaving, entering = old[shared:], new[shared:]
    if leaving and entering and _is_later_branch(leaving[0], entering[0]):
        done = len(leaving[0].headers)
        leaving = leaving[1:]
    closing = [_closing(frame) for frame in reversed(leaving)]
    return closing, [line for frame in entering for line in frame.headers][done:]


def _is_later_branch(old: Frame, new: Frame) -> bool:
    """Whether both are branches of one `#if`, `new` behind `old`."""
    same = old.kind == "condition" and (old.start, old.origin) == (new.start, new.origin)
    return same and len(old.headers) < len(new.headers)


def _closing(frame: Frame) -> str:
    if frame.kind == "condition":
        return "#endif"
    return f"}}  // {frame.headers[0].removesuffix('{').strip()}"


class Assumptions:
    """Conditions known to hold, because the kernel stands inside of them.

    A kernel in the `#else` of `#ifdef USE_FAST` exists only where `USE_FAST` is not defined; what
    is assumed for it holds for the whole capsule.
    """

    def __init__(self, frames: Iterable[Frame]) -> None:
        self.known: dict[str, bool] = {}
        for frame in frames:
            if frame.kind == "condition":
                *failed, met = frame.headers
                self.known.update(dict.fromkeys(map(_condition, failed), False))
                self.known[_condition(met)] = True

    def reduce(self, piece_frames: tuple[Frame, ...]) -> tuple[Frame, ...] | None:
        """The frames without the conditions known to hold; None where one is known not to."""
        kept = []
        for frame in piece_frames:
            met = self._met(frame)
            if met is False:
                return None
            if met is None:
                kept.append(frame)
        return tuple(kept)

    def _met(self, frame: Frame) -> bool | None:
        """Whether the branch is taken; None where that isn't known."""
        if frame.kind != "condition":
            return None
        *failed, last = [self._known(header) for header in frame.headers]
        if True in failed or last is False:
            return False
        if None in failed:
            return None
        return last

    def _known(self, header: str) -> bool | None:
        if directive_name(header) == "else":
            return True
        return self.known.get(_condition(header))


def _condition(header: str) -> str:
    """A condition in one spelling, so that `#elif X` and `#if X` are one."""
    name, argument = directive_name(header), " ".join(directive_argument(header).split())
    if name in ("ifdef", "elifdef"):
        return f"defined {argument}"
    if name in ("ifndef", "elifndef"):
        return f"! defined {argument}"
    return argument if name != "else" else f"else {id(header)}"
