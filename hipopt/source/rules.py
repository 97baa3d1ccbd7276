"""What a candidate may not hold, found before anything is compiled.

These rules keep honest mistakes and plain tricks out, and give the model a reason. They are not
what protects the machine: candidates are compiled and run in a sandbox. What the reference itself
holds, a candidate may hold as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from hipopt.source import forbidden
from hipopt.source.assembly import assembly, attributes
from hipopt.source.belongings import constants, coordinates, namespaces
from hipopt.source.capsule import Capsule
from hipopt.source.expand import TooLarge
from hipopt.source.headers import allowed, header_of
from hipopt.source.scan import Finding, Scan, enclosed, string_of
from hipopt.source.spelling import spelling
from hipopt.source.state import lasting_state
from hipopt.source.tokens import (
    Token,
    directive_argument,
    directive_name,
    line_of,
)


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
    scan = Scan.of(source)
    found = [finding for rule in (*_RULES, *_TOKEN_RULES) for finding in rule(scan)]
    try:
        expanded = scan.expanded()
    except TooLarge:
        found.append(Finding("macros", "what the macros expand to", 0, "has no end"))
    else:
        found += [finding for rule in _TOKEN_RULES for finding in rule(expanded)]
    return sorted(found, key=lambda f: f.offset)


# -- preprocessor lines -----------------------------------------------------------------------


def _directives(scan: Scan) -> Iterator[Finding]:
    for token in scan.directives:
        name = directive_name(token.text)
        if name == "include":
            yield from _include(token)
        elif name == "pragma":
            yield from _pragma(directive_argument(token.text), token.start)
        elif name in ("define", "undef"):
            yield from _definition(token)
        elif name.isdigit() or name in forbidden.DIRECTIVES:
            why = forbidden.DIRECTIVES["line" if name.isdigit() else name]
            yield Finding("directive", f"#{name}", token.start, why)


def _pragma_operators(scan: Scan) -> Iterator[Finding]:
    for index, token in enumerate(scan.tokens):
        if token.text in ("_Pragma", "__pragma"):
            text = string_of(enclosed(scan.tokens, index + 1))
            yield from _pragma(text.strip(), token.start)


def _include(token: Token) -> Iterator[Finding]:
    argument = directive_argument(token.text)
    words = {"hipcub", "cub", "rocprim", "rocwmma", "thrust", "hiprand_init", "rocrand_init"}
    if argument[:1] not in ("<", '"') or allowed(header_of(argument), words) is None:
        why = "is not one of the headers of HIP and the standard library that a kernel may include"
        yield Finding("include", argument, token.start, why)


def _pragma(argument: str, offset: int) -> Iterator[Finding]:
    if argument and forbidden.PRAGMAS.fullmatch(" ".join(argument.split())) is None:
        why = "is none of the pragmas that tune a loop or a block of a kernel"
        yield Finding("pragma", f"#pragma {argument}", offset, why)


def _definition(token: Token) -> Iterator[Finding]:
    match = re.match(r"\w+", directive_argument(token.text))
    if match is not None and forbidden.is_protected(match.group()):
        verb = directive_name(token.text)
        why = "changes the meaning of a name that belongs to the language or to HIP"
        yield Finding("definition", f"#{verb} {match.group()}", token.start, why)


# -- words ------------------------------------------------------------------------------------


def _words(scan: Scan) -> Iterator[Finding]:
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


def _is_own_name(scan: Scan, index: int) -> bool:
    """Whether the word is a member, or something that the source declares itself."""
    before = scan.tokens[index - 1].text if index else ""
    if before in (".", "->"):
        return True
    if before == "::":
        scope = scan.tokens[index - 2] if index > 1 else None
        named = scope is not None and scope.kind == "word" and scope.text != "std"
        return named and scan.tokens[index].text in scan.declared
    return scan.tokens[index].text in scan.declared


def _launches(scan: Scan) -> Iterator[Finding]:
    texts = [t.text for t in scan.tokens]
    for index in range(len(texts) - 2):
        if texts[index : index + 3] == ["<", "<", "<"]:
            why = "launches a kernel, and only one launch of one kernel is judged"
            yield Finding("launch", "'<<<'", scan.tokens[index].start, why)


# -- state ------------------------------------------------------------------------------------


def _state(scan: Scan) -> Iterator[Finding]:
    for piece in scan.pieces:
        for found in lasting_state(piece, scan.pieces):
            yield Finding("state", found.subject, piece.start + found.offset, found.why)


_RULES: tuple[Callable[[Scan], Iterator[Finding]], ...] = (_directives, spelling, _state)
"""What is looked for in the source as it is written."""

_TOKEN_RULES: tuple[Callable[[Scan], Iterator[Finding]], ...] = (
    _words, _launches, _pragma_operators, assembly, attributes, coordinates, constants, namespaces,
)  # fmt: skip
"""What is looked for in the source as written, and again with its macros expanded."""
