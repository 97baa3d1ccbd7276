"""The rules about inline assembly and attributes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from hipopt.source import forbidden
from hipopt.source.scan import Finding, Scan, enclosed, string_of
from hipopt.source.tokens import Token, directive_argument, directive_name


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
    """Attributes that make code run outside of a launch, in any of their spellings."""
    makers = _attribute_macros(scan)
    for index, token in enumerate(scan.tokens):
        if token.text in ("__attribute__", "__attribute", "__declspec") or token.text in makers:
            inside = enclosed(scan.tokens, _next_bracket(scan.tokens, index))
        elif token.text == "[" and _text(scan.tokens, index + 1) == "[":
            inside = enclosed(scan.tokens, index)
        else:
            continue
        for word in inside:
            name = word.text.strip("_")
            if word.kind == "word" and name in forbidden.ATTRIBUTES:
                why = "makes code run or stay outside of a launch, or hides it from the checks"
                yield Finding("attribute", f"attribute '{name}'", word.start, why)


def _attribute_macros(scan: Scan) -> set[str]:
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
