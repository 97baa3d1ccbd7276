"""The rules about inline assembly and attributes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from hipopt.source import forbidden
from hipopt.source.scan import Finding, Scan, enclosed, string_of
from hipopt.source.tokens import Token


def assembly(scan: Scan) -> Iterator[Finding]:
    """Assembler directives and system calls, in assembly or in a string that may become it."""
    for index, token in enumerate(scan.tokens):
        if token.text in ("asm", "__asm__", "__asm"):
            text = string_of(enclosed(scan.tokens, _next_bracket(scan.tokens, index)))
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
            yield run[0].start, string_of(run)
            run = []


def attributes(scan: Scan) -> Iterator[Finding]:
    """Attributes that do more than lay out data or tune code, in any of their spellings."""
    for index, token in enumerate(scan.tokens):
        if token.text in ("__attribute__", "__attribute", "__declspec"):
            inside = enclosed(scan.tokens, _next_bracket(scan.tokens, index))
        elif token.text == "[" and _text(scan.tokens, index + 1) == "[":
            inside = enclosed(scan.tokens, index)
        else:
            continue
        for word in _outermost(inside):
            name = word.text.strip("_")
            if forbidden.ATTRIBUTES.fullmatch(name) is None and name not in scan.defined:
                why = "could make code run or stay outside of a launch, or hide it from the checks"
                yield Finding("attribute", f"attribute '{name}'", word.start, why)


def _outermost(inside: Sequence[Token]) -> Iterator[Token]:
    """The attributes' names: the words in one pair of brackets, arguments and scopes left out."""
    nest = 0
    for index, token in enumerate(inside):
        nest += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
        is_scope = index + 1 < len(inside) and inside[index + 1].text in ("::", ":")
        if token.kind == "word" and token.text != "using" and nest <= 1 and not is_scope:
            yield token


def _text(tokens: tuple[Token, ...], index: int) -> str:
    return tokens[index].text if index < len(tokens) else ""


def _next_bracket(tokens: tuple[Token, ...], index: int) -> int:
    """Index of the next `(`; words between, like `volatile`, are skipped."""
    while index + 1 < len(tokens) and tokens[index + 1].kind == "word":
        index += 1
    return index + 1
