"""What a candidate may not hold, found before anything is compiled.

These rules keep honest mistakes and plain tricks out, and give the model a reason. They are not
what protects the machine: candidates are compiled and run in a sandbox. What the reference itself
holds, a candidate may hold as well.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from hipopt.source import forbidden
from hipopt.source.capsule import Capsule
from hipopt.source.declared import declared_names
from hipopt.source.headers import allowed, header_of
from hipopt.source.parse import parse
from hipopt.source.piece import Piece
from hipopt.source.state import lasting_state
from hipopt.source.tokens import (
    Token,
    code_tokens,
    directive_argument,
    directive_name,
    line_of,
    tokenize,
)


class Finding(NamedTuple):
    """One thing that a capsule holds and a candidate may not."""

    rule: str
    subject: str
    """What it is about; a finding of the reference excuses the same one in a candidate."""
    offset: int
    why: str


def check_rules(candidate: Capsule, reference: Capsule) -> str | None:
    """Why the candidate may not be compiled, in one sentence; None if nothing speaks against it."""
    excused = {(f.rule, f.subject) for f in findings(reference.source)}
    for finding in findings(candidate.source):
        if (finding.rule, finding.subject) not in excused:
            line = line_of(candidate.source, finding.offset)
            return f"line {line}: {finding.subject} {finding.why}"
    return None


def findings(source: str) -> list[Finding]:
    """All that a candidate with this source would be rejected for, in the order of the text."""
    scan = _Scan.of(source)
    found = [finding for rule in _RULES for finding in rule(scan)]
    return sorted(found, key=lambda f: f.offset)


@dataclass(frozen=True)
class _Scan:
    """A source with what several rules need of it."""

    source: str
    pieces: tuple[Piece, ...]
    tokens: tuple[Token, ...]
    """Of code and of preprocessor lines alike, these cut into their own tokens."""
    directives: tuple[Token, ...]
    declared: frozenset[str]
    """All names that the source declares itself."""

    @classmethod
    def of(cls, source: str) -> _Scan:
        file = parse(source)
        top = code_tokens(file.text)
        return cls(
            source=file.text,
            pieces=file.pieces,
            tokens=tuple(inner for token in top for inner in _inner(token)),
            directives=tuple(t for t in top if t.kind == "directive"),
            declared=declared_names(file.pieces),
        )


def _inner(token: Token) -> Iterator[Token]:
    if token.kind != "directive":
        yield token
        return
    start = token.text.index("#") + 1
    if directive_name(token.text) == "include":
        return
    for inner in tokenize(token.text[start:]):
        if inner.is_code:
            yield Token(inner.kind, inner.text, token.start + start + inner.start)


# -- preprocessor lines -----------------------------------------------------------------------


def _directives(scan: _Scan) -> Iterator[Finding]:
    for token in scan.directives:
        name = directive_name(token.text)
        if name == "include":
            yield from _include(token)
        elif name == "pragma":
            yield from _pragma(directive_argument(token.text), token.start)
        elif name in ("define", "undef"):
            yield from _definition(token)
        elif name in forbidden.DIRECTIVES:
            yield Finding("directive", f"#{name}", token.start, forbidden.DIRECTIVES[name])


def _include(token: Token) -> Iterator[Finding]:
    argument = directive_argument(token.text)
    words = {"hipcub", "cub", "rocprim", "rocwmma", "thrust", "hiprand_init", "rocrand_init"}
    if argument[:1] not in ("<", '"') or allowed(header_of(argument), words) is None:
        why = "is not one of the headers of HIP and the standard library that a kernel may include"
        yield Finding("include", argument, token.start, why)


def _pragma(argument: str, offset: int) -> Iterator[Finding]:
    for word in re.findall(r"\w+", argument):
        if word in forbidden.PRAGMAS:
            why = "reaches beyond the code that follows it"
            yield Finding("pragma", f"#pragma {argument}", offset, why)
            return


def _definition(token: Token) -> Iterator[Finding]:
    match = re.match(r"\w+", directive_argument(token.text))
    if match is not None and forbidden.is_protected(match.group()):
        verb = directive_name(token.text)
        why = "changes the meaning of a name that belongs to the language or to HIP"
        yield Finding("definition", f"#{verb} {match.group()}", token.start, why)


# -- words ------------------------------------------------------------------------------------


def _words(scan: _Scan) -> Iterator[Finding]:
    for index, token in enumerate(scan.tokens):
        if token.kind != "word":
            continue
        if forbidden.is_ours(token.text):
            why = "belongs to the device that runs the kernel, not to the kernel"
            yield Finding("word", f"'{token.text}'", token.start, why)
            continue
        why_not = forbidden.why_not(token.text)
        if why_not is not None and not _is_own_name(scan, index):
            yield Finding("word", f"'{token.text}'", token.start, why_not)


def _is_own_name(scan: _Scan, index: int) -> bool:
    """Whether the word is a member, or something that the source declares itself."""
    before = scan.tokens[index - 1].text if index else ""
    if before in (".", "->"):
        return True
    if before == "::":
        scope = scan.tokens[index - 2] if index > 1 else None
        named = scope is not None and scope.kind == "word" and scope.text != "std"
        return named and scan.tokens[index].text in scan.declared
    return scan.tokens[index].text in scan.declared


def _launches(scan: _Scan) -> Iterator[Finding]:
    texts = [t.text for t in scan.tokens]
    for index in range(len(texts) - 2):
        if texts[index : index + 3] == ["<", "<", "<"]:
            why = "launches a kernel, and only one launch of one kernel is judged"
            yield Finding("launch", "'<<<'", scan.tokens[index].start, why)


def _spelling(scan: _Scan) -> Iterator[Finding]:
    """Spellings that hide a word from a reader."""
    for token in scan.tokens:
        if token.text == "\\":
            yield Finding("spelling", "'\\'", token.start, "stands outside of strings")
    for match in re.finditer(r"(?<=\w)\\\n(?=\w)", scan.source):
        yield Finding("spelling", "a line continuation", match.start(), "splits a word")
    for match in re.finditer(r"^[ \t]*(%:|\?\?=)", scan.source, re.MULTILINE):
        why = "stands for '#': write '#'"
        yield Finding("spelling", f"'{match.group(1)}'", match.start(1), why)


def _pasted(scan: _Scan) -> Iterator[Finding]:
    """Words put together by `##` out of the arguments of a macro."""
    if not any(t.text == "##" for t in scan.tokens):
        return
    for index, token in enumerate(scan.tokens):
        if token.text != "(" or not index or scan.tokens[index - 1].kind != "word":
            continue
        words = [t.text for t in _enclosed(scan.tokens, index) if t.kind == "word"]
        for pasted in ("".join(words), *map("".join, pairwise(words))):
            why = forbidden.why_not(pasted)
            if len(words) > 1 and why is not None:
                yield Finding("word", f"'{pasted}'", token.start, why)
                break


# -- assembly and attributes ------------------------------------------------------------------


def _assembly(scan: _Scan) -> Iterator[Finding]:
    for index, token in enumerate(scan.tokens):
        if token.text in ("asm", "__asm__", "__asm"):
            text = _string_of(_enclosed(scan.tokens, _next_bracket(scan.tokens, index)))
            yield from _bad_assembly(text, forbidden.ASSEMBLY, token.start)
    for start, text in _strings(scan.tokens):
        yield from _bad_assembly(text, forbidden.FILE_DIRECTIVE, start)
    for index, token in enumerate(scan.tokens):
        if token.text.lower() == "incbin" and index and scan.tokens[index - 1].text == ".":
            yield from _bad_assembly(".incbin", forbidden.FILE_DIRECTIVE, token.start)


def _bad_assembly(text: str, pattern: re.Pattern[str], offset: int) -> Iterator[Finding]:
    match = pattern.search(text)
    if match is not None:
        why = "in inline assembly reaches beyond the kernel's own instructions"
        yield Finding("assembly", f"'{match.group()}'", offset, why)


def _strings(tokens: Iterable[Token]) -> Iterator[tuple[int, str]]:
    """Neighbouring strings joined, with the offset of the first."""
    run: list[Token] = []
    for token in (*tokens, Token("punctuation", "", 0)):
        if token.kind == "string":
            run.append(token)
        elif run:
            yield run[0].start, _string_of(run)
            run = []


def _string_of(tokens: Iterable[Token]) -> str:
    return "".join(_value(t.text) for t in tokens if t.kind == "string")


def _value(literal: str) -> str:
    """What a string literal holds; its escapes resolved as far as they can be."""
    raw = re.fullmatch(r'\w*R"([^()\\\s]*)\((.*)\)\1"', literal, re.DOTALL)
    if raw is not None:
        return raw.group(2)
    inner = literal[literal.index('"') + 1 :].removesuffix('"').replace("\\\n", "")
    try:
        return codecs.decode(inner.encode("latin-1", "replace"), "unicode_escape")
    except UnicodeDecodeError:
        return inner


def _attributes(scan: _Scan) -> Iterator[Finding]:
    makers = _attribute_macros(scan)
    for index, token in enumerate(scan.tokens):
        if token.text in ("__attribute__", "__attribute", "__declspec") or token.text in makers:
            inside = _enclosed(scan.tokens, _next_bracket(scan.tokens, index))
        elif token.text == "[" and _text(scan.tokens, index + 1) == "[":
            inside = _enclosed(scan.tokens, index)
        else:
            continue
        for word in inside:
            name = word.text.strip("_")
            if word.kind == "word" and name in forbidden.ATTRIBUTES:
                why = "makes code run or stay outside of a launch, or hides it from the checks"
                yield Finding("attribute", f"attribute '{name}'", word.start, why)


def _attribute_macros(scan: _Scan) -> set[str]:
    """Macros with parameters that put an attribute in place."""
    lines = (t.text for t in scan.directives if directive_name(t.text) == "define")
    bodies = (directive_argument(line) for line in lines)
    pattern = re.compile(r"(\w+)\([^)]*\).*(?:__attribute|__declspec|\[\[)", re.DOTALL)
    return {m.group(1) for body in bodies if (m := pattern.match(body)) is not None}


def _text(tokens: tuple[Token, ...], index: int) -> str:
    return tokens[index].text if index < len(tokens) else ""


def _next_bracket(tokens: tuple[Token, ...], index: int) -> int:
    """Index of the next `(`; words between, like `volatile`, are skipped."""
    while index + 1 < len(tokens) and tokens[index + 1].kind == "word":
        index += 1
    return index + 1


def _enclosed(tokens: tuple[Token, ...], index: int) -> list[Token]:
    """The tokens inside of the bracket at `index`."""
    nest, inside = 0, []
    for token in tokens[index:]:
        nest += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
        if nest <= 0:
            break
        inside.append(token)
    return inside[1:]


# -- state ------------------------------------------------------------------------------------


def _state(scan: _Scan) -> Iterator[Finding]:
    for piece in scan.pieces:
        for found in lasting_state(piece, scan.pieces):
            yield Finding("state", found.subject, piece.start + found.offset, found.why)


_RULES: tuple[Callable[[_Scan], Iterator[Finding]], ...] = (
    _directives, _words, _launches, _spelling, _pasted, _assembly, _attributes, _state,
)  # fmt: skip
