"""The rules about spellings that read otherwise to a person, or to us, than to the compiler."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hipopt.source.scan import Finding, Scan

_SPLICE = r"(?:\\[ \t\f\v]*\n)+"
_SPELLINGS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (re.compile(rf"(?<=\w){_SPLICE}(?=\w)"), "a line continuation", "splits a word"),
    (
        re.compile(rf"(?<=[/*\"]){_SPLICE}(?=[/*\"])"),
        "a line continuation",
        "splits the mark of a comment or string",
    ),
    (
        re.compile(r"\\[ \t\f\v]+\n"),
        "a backslash with blanks behind it",
        "joins lines for some compilers only: remove the blanks",
    ),
    (re.compile(r"\?\?[=/'()!<>-]"), "a trigraph", "stands for another character: write that one"),
)
_DIGRAPHS = {"<%": "{", "%>": "}", "<:": "[", ":>": "]", "%:": "#"}


def spelling(scan: Scan) -> Iterator[Finding]:
    """Spellings that hide a word from a reader."""
    for token in scan.tokens:
        if token.text == "\\":
            yield Finding("spelling", "'\\'", token.start, "stands outside of strings")
    for pattern, subject, why in _SPELLINGS:
        for match in pattern.finditer(scan.source):
            yield Finding("spelling", subject, match.start(), why)
    yield from _digraphs(scan)


def _digraphs(scan: Scan) -> Iterator[Finding]:
    for match in re.finditer(r"^[ \t]*(%:)", scan.source, re.MULTILINE):
        yield Finding("spelling", "'%:'", match.start(1), "stands for '#': write '#'")
    for index in range(len(scan.tokens) - 1):
        first, second = scan.tokens[index : index + 2]
        if first.end != second.start:
            continue
        plain = _DIGRAPHS.get(first.text + second.text)
        after = scan.tokens[index + 2].text if index + 2 < len(scan.tokens) else ""
        if plain is None and (first.text, second.text) == ("<", "::") and after in (":", ">"):
            plain = "["
        if plain is not None:
            spelled = first.text + second.text[:1]
            why = f"stands for '{plain}': write '{plain}'"
            yield Finding("spelling", f"'{spelled}'", first.start, why)
