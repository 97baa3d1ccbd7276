"""HIP source as tokens: comments, strings and preprocessor lines told apart from code.

All offsets in `hipopt.source` count characters of the text as given, not bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias, cast

TokenKind: TypeAlias = Literal[
    "directive", "comment", "string", "char", "number", "word", "space", "punctuation"
]

_SKIPPED = r"//(?:\\\n|[^\n])*|/\*(?:[^*]|\*(?!/))*(?:\*/|\Z)"
_RAW = r'(?:u8|[uUL])?R"(?P<mark>[^()\\\s]{0,16})\((?s:.*?)\)(?P=mark)"'
_QUOTED = r'"(?:\\[\s\S]|[^"\\\n])*"?'
_TOKEN = re.compile(
    rf"""
      (?P<directive>(?:(?<=\n)|\A)[ \t]*\#(?:{_SKIPPED}|{_QUOTED}|\\\n|[^\n"])*)
    | (?P<space>[^\S\n]+|\n+|\\\n)
    | (?P<comment>{_SKIPPED})
    | (?P<string>{_RAW}|(?:u8|[uUL])?{_QUOTED})
    | (?P<char>(?:u8|[uUL])?'(?:\\[\s\S]|[^'\\\n])+'?)
    | (?P<number>\.?\d(?:[eEpP][+-]|'(?=\w)|[\w.])*)
    | (?P<word>[^\W\d]\w*)
    | (?P<punctuation>::|->|\#\#|[\s\S])
    """,
    re.VERBOSE,
)
_DIRECTIVE = re.compile(r"\s*#\s*(\w*)")


class Token(NamedTuple):
    """A piece of text that the compiler would read as one; spaces and comments are tokens too."""

    kind: TokenKind
    text: str
    start: int

    @property
    def end(self) -> int:
        """Offset just behind the token."""
        return self.start + len(self.text)

    @property
    def is_code(self) -> bool:
        """Whether the compiler sees it."""
        return self.kind not in ("space", "comment")


def tokenize(text: str) -> Iterator[Token]:
    """Every character of `text` in exactly one token; never fails, whatever the text."""
    for match in _TOKEN.finditer(text):
        yield Token(cast("TokenKind", match.lastgroup), match.group(), match.start())


def code_tokens(text: str) -> list[Token]:
    """The tokens that the compiler sees; a preprocessor line is one token."""
    return [token for token in tokenize(text) if token.is_code]


def code_words(text: str) -> Iterator[Token]:
    """The identifiers and keywords of `text`, those of preprocessor lines included."""
    for token in tokenize(text):
        if token.kind == "word":
            yield token
        elif token.kind == "directive":
            yield from directive_words(token)


def directive_words(directive: Token) -> Iterator[Token]:
    """The words of a preprocessor line behind its name; none for an `#include`."""
    match = _DIRECTIVE.match(directive.text)
    if match is None or match.group(1) in ("include", "error", "warning"):
        return
    for token in tokenize(directive.text[match.end() :]):
        if token.kind == "word":
            yield Token("word", token.text, directive.start + match.end() + token.start)


def directive_name(directive: str) -> str:
    """`include` of `# include <cmath>`; empty for a lone `#`."""
    match = _DIRECTIVE.match(directive)
    return match.group(1) if match else ""


def directive_argument(directive: str) -> str:
    """What follows the directive's name, on one line, comments and outer spaces cut off."""
    match = _DIRECTIVE.match(directive)
    behind = directive[match.end() :].replace("\\\n", " ") if match else ""
    return "".join(" " if t.kind == "comment" else t.text for t in tokenize(behind)).strip()


def fingerprint(text: str) -> tuple[str, ...]:
    """Equal for two texts that differ in spaces and comments alone."""
    return tuple(" ".join(t.text.split()) for t in code_tokens(text))


def clean(text: str) -> str:
    """`text` with Unix line ends, without byte order mark and control characters."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\ufeff", "")
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", " ", text)


def line_of(text: str, offset: int) -> int:
    """Line number of `offset`, from 1."""
    return text.count("\n", 0, offset) + 1


def blank(text: str, start: int, end: int) -> str:
    """`text` with spaces from `start` to `end`; lines and offsets stay."""
    return text[:start] + _blanks(text[start:end]) + text[end:]


def _blanks(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def first_branches(tokens: Iterable[Token]) -> Iterator[Token]:
    """The tokens without preprocessor lines, and of every #if only its first branch."""
    later: list[bool] = []
    for token in tokens:
        if token.kind != "directive":
            if not any(later):
                yield token
            continue
        name = directive_name(token.text)
        if name in ("if", "ifdef", "ifndef"):
            later.append(False)
        elif name.startswith("el") and later:
            later[-1] = True
        elif name == "endif" and later:
            later.pop()


def first_branch_text(text: str) -> str:
    """`text` with preprocessor lines and all but the first branch of every #if blanked out."""
    parts: list[str] = []
    at = 0
    for token in first_branches(tokenize(text)):
        parts += [_blanks(text[at : token.start]), token.text]
        at = token.end
    return "".join([*parts, _blanks(text[at:])])


def closing_angle(tokens: Sequence[Token], index: int) -> int | None:
    """Index of the `>` that closes the `<` at `index`; other brackets hide what they hold."""
    angles, nest = 0, 0
    for at in range(index, len(tokens)):
        text = tokens[at].text
        nest += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
        angles += (nest == 0) * ((text == "<") - (text == ">"))
        if angles == 0:
            return at
    return None
