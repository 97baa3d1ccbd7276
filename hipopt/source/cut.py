"""A file cut into the pieces that stand at namespace level.

Cutting goes by tokens and not by the grammar, so that one construct that the grammar doesn't know
costs at most its own piece. Braces are counted along the first branch of every `#if`, so code with
unlike braces in its branches cuts cleanly as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from hipopt.errors import SourceError
from hipopt.source.chunk import Chunk, Frame, FrameKind
from hipopt.source.tokens import (
    Token,
    closing_angle,
    code_tokens,
    directive_argument,
    directive_name,
    line_of,
)


class _Depth(NamedTuple):
    """Where the cutter stands inside an unfinished piece."""

    nest: int = 0
    ended: bool = False
    is_type: bool = False
    is_value: bool = False
    has_parameters: bool = False


@dataclass
class _Branches:
    """An #if inside a piece: the state before it, and behind its first branch."""

    before: _Depth
    first: _Depth | None = None


@dataclass
class _Condition:
    """An #if between pieces."""

    frame: Frame
    before: list[Frame]
    first: list[Frame] | None = None


_TYPE_WORDS = {"struct", "class", "union", "enum"}
_NO_DECLARATOR = {
    "__launch_bounds__", "__attribute__", "alignas", "__align__", "decltype", "noexcept",
    "__declspec", "explicit", "requires",
}  # fmt: skip
_CONTINUES = set("{;:,=[.(*&") | {"->", "::"}
_CONTINUING_WORDS = {"const", "noexcept", "override", "try", "requires", "final"}


@dataclass
class _Cutter:
    """Walks over the tokens once and collects chunks."""

    text: str
    origin: str
    tokens: list[Token]
    macros: set[str] = field(default_factory=set)
    """Macros with parameters that the file defines: their uses need no semicolon."""
    chunks: list[Chunk] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    conditions: list[_Condition] = field(default_factory=list)
    inner: list[_Branches] = field(default_factory=list)
    first: int | None = None
    """Index of the unfinished piece's first token."""
    depth: _Depth = field(default_factory=_Depth)
    opened: list[int] = field(default_factory=list)
    """Indexes of the brackets that are open, for error messages."""
    at: int = 0

    def run(self) -> list[Chunk]:
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if token.kind == "directive":
                self._directive(token)
            elif not self._between(token):
                self._inside(token)
            self.at += 1
        self._check_end()
        return self.chunks

    def _fail(self, what: str, offset: int) -> SourceError:
        return SourceError(f"line {line_of(self.text, offset)}: {what}")

    def _check_end(self) -> None:
        if self.first is not None:
            offset = self.tokens[self.opened[-1] if self.opened else self.first].start
            what = "opening bracket is never closed" if self.opened else "declaration never ends"
            raise self._fail(f"{what}; is the source cut short?", offset)
        if self.conditions:
            raise self._fail("#if without #endif", self.conditions[-1].frame.start)
        if self.frames:
            raise self._fail(
                f"'{self.frames[-1].headers[0]}' is never closed", self.frames[-1].start
            )

    def _emit(self, first: int, last: int) -> None:
        tokens = tuple(self.tokens[first : last + 1])
        start, end = tokens[0].start, tokens[-1].end
        self.chunks.append(Chunk(start, end, tuple(self.frames), tokens))

    def _finish(self) -> None:
        if self.first is not None:
            self._emit(self.first, self.at)
        self.first, self.depth = None, _Depth()
        self.opened.clear()

    # -- preprocessor lines ------------------------------------------------------------------

    def _directive(self, token: Token) -> None:
        name = directive_name(token.text)
        if name in ("if", "ifdef", "ifndef"):
            self._if(token)
        elif name in ("else", "elif", "elifdef", "elifndef"):
            self._else(token)
        elif name == "endif":
            self._endif(token)
        else:
            if name == "define" and "(" in directive_argument(token.text).split(" ")[0]:
                self.macros.add(directive_argument(token.text).split("(")[0])
            if self.first is None:
                self._emit(self.at, self.at)

    def _if(self, token: Token) -> None:
        if self.first is not None:
            self.inner.append(_Branches(self.depth))
            return
        frame = Frame("condition", token.start, (token.text.strip(),), self.origin)
        self.conditions.append(_Condition(frame, list(self.frames)))
        self.frames.append(frame)

    def _swallow_condition(self, token: Token) -> None:
        """A piece crosses the branches of the #if around it: let it begin at that #if."""
        if not self.conditions:
            raise self._fail(f"{token.text.strip()} without #if", token.start)
        condition = self.conditions.pop()
        self.frames = condition.before
        while self.chunks and self.chunks[-1].start >= condition.frame.start:
            self.chunks.pop()
        self.first = next(i for i, t in enumerate(self.tokens) if t.start >= condition.frame.start)
        self.inner.append(_Branches(_Depth()))

    def _else(self, token: Token) -> None:
        if self.first is not None:
            if not self.inner:
                self._swallow_condition(token)
            branches = self.inner[-1]
            branches.first = branches.first or self.depth
            self.depth = branches.before
            return
        if not self.conditions:
            raise self._fail(f"{token.text.strip()} without #if", token.start)
        condition = self.conditions[-1]
        if condition.first is None:
            condition.first = [f for f in self.frames if f.start != condition.frame.start]
        headers = (*condition.frame.headers, token.text.strip())
        condition.frame = condition.frame._replace(headers=headers)
        self.frames = [*condition.before, condition.frame]

    def _endif(self, token: Token) -> None:
        if self.first is not None:
            if not self.inner:
                self._swallow_condition(token)
            self.depth = self.inner[-1].first or self.depth
            self.inner.pop()
            if self.depth.ended and not self.inner:
                self._finish()
            return
        if not self.conditions:
            raise self._fail("#endif without #if", token.start)
        condition = self.conditions.pop()
        rest = [f for f in self.frames if f.start != condition.frame.start]
        self.frames = rest if condition.first is None else condition.first

    # -- code --------------------------------------------------------------------------------

    def _between(self, token: Token) -> bool:
        """Whether the token opens or closes a namespace, or is a stray semicolon."""
        if self.first is not None:
            return False
        if token.text == "}":
            self._close_frame(token)
            return True
        if token.text == ";":
            return True
        return self._open_frame()

    def _close_frame(self, token: Token) -> None:
        for index in reversed(range(len(self.frames))):
            if self.frames[index].kind != "condition":
                del self.frames[index]
                return
        raise self._fail("'}' closes nothing", token.start)

    def _open_frame(self) -> bool:
        kind: FrameKind
        texts = [t.text for t in self.tokens[self.at : self.at + 3]]
        if texts[:1] == ["namespace"] or texts[:2] == ["inline", "namespace"]:
            kind = "namespace"
        elif texts[:1] == ["extern"] and texts[2:] == ["{"]:
            kind = "linkage"
        else:
            return False
        for index in range(self.at, len(self.tokens)):
            text = self.tokens[index].text
            if text in (";", "="):
                return False
            if text == "{":
                header = " ".join(t.text for t in self.tokens[self.at : index + 1])
                frame = Frame(
                    kind, self.tokens[self.at].start, (header.replace(" :: ", "::"),), self.origin
                )
                self.frames.append(frame)
                self.at = index
                return True
        raise self._fail("namespace without '{'", self.tokens[self.at].start)

    def _inside(self, token: Token) -> None:
        if self.first is None:
            self.first, self.depth = self.at, _Depth()
            if token.text == "template":
                self._skip_template_header()
                return
        if self.depth.ended:
            return
        text = token.text
        if text in ("(", "[", "{"):
            self._open(text)
        elif text in (")", "]", "}"):
            self._close(token)
        elif self.depth.nest == 0:
            self._at_surface(token)

    def _at_surface(self, token: Token) -> None:
        if token.text == ";":
            self._end()
        elif token.text in _TYPE_WORDS:
            self.depth = self.depth._replace(is_type=True)
        elif token.text == "=" and self._before(1) != "operator" and self._before(2) != "operator":
            self.depth = self.depth._replace(is_value=True)
        elif token.text == "template":
            self._skip_template_header()

    def _before(self, distance: int) -> str:
        index = self.at - distance
        return self.tokens[index].text if index >= (self.first or 0) else ""

    def _after(self) -> Token | None:
        return self.tokens[self.at + 1] if self.at + 1 < len(self.tokens) else None

    def _open(self, bracket: str) -> None:
        depth = self.depth
        if depth.nest == 0 and bracket == "(" and not depth.is_value:
            before = self.tokens[self.at - 1] if self.at > (self.first or 0) else None
            if before is not None and before.text not in _NO_DECLARATOR:
                depth = depth._replace(has_parameters=True)
        self.opened.append(self.at)
        self.depth = depth._replace(nest=depth.nest + 1)

    def _close(self, token: Token) -> None:
        if self.depth.nest == 0:
            raise self._fail(f"'{token.text}' closes nothing", token.start)
        if self.opened:
            self.opened.pop()
        self.depth = self.depth._replace(nest=self.depth.nest - 1)
        if self.depth.nest:
            return
        if self._body_ends() if token.text == "}" else self._is_macro_use():
            self._end()

    def _body_ends(self) -> bool:
        after = self._after()
        if after is not None and after.text == ";":
            return False
        if self.depth.is_value:
            return False
        return self.depth.has_parameters or not self.depth.is_type

    def _is_macro_use(self) -> bool:
        """Whether the piece is `NAME(...)` alone, and the next line starts another piece."""
        first, after = self.first or 0, self._after()
        name = self.tokens[first]
        if name.kind != "word" or self.tokens[first + 1].text != "(":
            return False
        if name.text in _NO_DECLARATOR or not (name.text in self.macros or name.text.isupper()):
            return False
        if after is None or after.kind == "directive":
            return True
        if after.text in _CONTINUES or after.text in _CONTINUING_WORDS:
            return False
        return "\n" in self.text[self.tokens[self.at].end : after.start]

    def _end(self) -> None:
        if self.inner:
            self.depth = self.depth._replace(ended=True)
        else:
            self._finish()

    def _skip_template_header(self) -> None:
        """Leave `at` on the `>` that closes the header."""
        after = self._after()
        if after is None or after.text != "<":
            return
        end = closing_angle(self.tokens, self.at + 1)
        if end is None:
            raise self._fail("template header never ends", after.start)
        self.at = end


def cut(text: str, origin: str = "") -> list[Chunk]:
    """The pieces of a file in order; `text` comes from `tokens.clean`.

    Raises:
        SourceError: brackets or conditions don't match; names the line.
    """
    return _Cutter(text, origin, code_tokens(text)).run()
