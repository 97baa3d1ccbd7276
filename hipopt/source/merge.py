"""New code put into the place of a kernel: who replaces whom, and what comes before what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hipopt.errors import SourceError
from hipopt.source.chunk import Frame
from hipopt.source.order import ordered
from hipopt.source.parameters import parameters, template_parameters, type_key
from hipopt.source.parse import SourceFile, macros_of, parse
from hipopt.source.piece import Piece
from hipopt.source.tokens import clean, code_tokens, code_words, first_branches

_FREE = frozenset({"macro", "include", "undef", "pragma"})
_CONTROL = frozenset({"if", "for", "while", "switch", "do", "else", "return"})
_NOT_DEFINING = frozenset({"using", "include", "undef", "pragma", "instantiation"})
_FUNCTIONS = frozenset({"function", "prototype"})


@dataclass(frozen=True, kw_only=True)
class Submission:
    """Code meant to take a kernel's place."""

    pieces: tuple[Piece, ...]
    kernel: Piece


def read_submission(code: str, kernel: Piece, around: Sequence[Piece]) -> Submission:
    """`code` read as a file, a function with or without helpers, or only a body, for `kernel`.

    `around` are the pieces among which it will stand.

    Raises:
        SourceError: it holds no kernel of that name, several, or can't be cut.
    """
    text = clean(code)
    if is_body(text):
        text = replace_body(kernel.text, text)
    macros = macros_of(around)
    if not _has_words(text, {"__global__", *macros}):
        raise SourceError(_missing(parse_or_empty(text), kernel.names[0]))
    file = parse(text, "candidate", macros)
    return Submission(pieces=file.pieces, kernel=_only_kernel(file, kernel))


def _has_words(text: str, words: set[str]) -> bool:
    return any(word.text in words for word in code_words(text))


def parse_or_empty(text: str) -> SourceFile:
    """The pieces of `text`; none where it can't be cut."""
    try:
        return parse(text)
    except SourceError:
        return parse("")


def _only_kernel(file: SourceFile, kernel: Piece) -> Piece:
    name = kernel.names[0]
    found = [k for k in file.kernels if k.names == kernel.names]
    same = [k for k in found if parameter_keys(k) == parameter_keys(kernel)]
    if len(found) > 1 and same:
        found = same[:1]
    if len(found) == 1:
        return found[0]
    if found:
        lines = ", ".join(str(k.line) for k in found)
        raise SourceError(f"kernel '{name}' is defined {len(found)} times, in lines {lines}")
    raise SourceError(_missing(file, name))


def _missing(file: SourceFile, name: str) -> str:
    others = sorted({k.names[0] for k in file.kernels})
    if others:
        return f"expected a kernel named '{name}', found {_quoted(others)}"
    if any(p.kind == "function" and p.names == (name,) for p in file.pieces):
        return f"expected a kernel named '{name}', but that function is not __global__"
    return f"expected a kernel named '{name}', found no kernel"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{n}'" for n in names)


def parameter_keys(function: Piece) -> tuple[str, ...]:
    """What the parameters' types are, names and const left out."""
    return tuple(type_key(p.type_text, {}) for p in parameters(function))


# -- bodies -----------------------------------------------------------------------------------


def is_body(text: str) -> bool:
    """Whether `text` is statements, in braces or not, and no definition of a function."""
    tokens = code_tokens(text)
    if not any(t.text == ";" for t in tokens):
        return bool(tokens) and tokens[0].text == "{" and tokens[-1].text == "}"
    if tokens[0].text == "{":
        return True
    if any(w.text == "__global__" for w in code_words(text)):
        return False
    return not any(_is_definition(p) for p in parse_or_empty(text).pieces)


def _is_definition(piece: Piece) -> bool:
    return piece.kind == "function" and not (piece.names and piece.names[0] in _CONTROL)


def body_start(function: str) -> int:
    """Offset of the `{` that opens a function's body.

    Raises:
        SourceError: there is none.
    """
    nest = 0
    for token in code_tokens(function):
        if token.text == "{" and nest == 0:
            return token.start
        nest += (token.text in ("(", "[")) - (token.text in (")", "]"))
    raise SourceError("the function has no body")


def replace_body(function: str, body: str) -> str:
    """The function with another body, given with or without its braces."""
    body = body.strip("\n")
    tokens = code_tokens(body)
    braced = bool(tokens) and tokens[0].text == "{" and _closes_at_end(body)
    inner = body.strip() if braced else "{\n" + body + "\n}"
    return function[: body_start(function)] + inner


def _closes_at_end(body: str) -> bool:
    """Whether the first brace is closed by the last token and by none before."""
    tokens = list(first_branches(code_tokens(body)))
    nest = 0
    for token in tokens:
        nest += (token.text == "{") - (token.text == "}")
        if nest == 0:
            return token is tokens[-1]
    return False


# -- merging ----------------------------------------------------------------------------------


def merge(
    base: Sequence[Piece], kernel: Piece, submission: Submission
) -> tuple[list[Piece], Piece]:
    """The pieces of both, and the kernel among them.

    What the submission defines replaces what `base` defines under the same name; overloads of a
    function stay. Everything comes before what uses it.
    """
    new = _adopted(submission, kernel)
    new_kernel = new[submission.pieces.index(submission.kernel)]
    old = [p for p in base if p is not kernel and not _is_replaced(p, new)]
    return ordered(old, new), new_kernel


def _adopted(submission: Submission, kernel: Piece) -> list[Piece]:
    """The submission's pieces, moved into the kernel's namespace if they name none themselves."""
    if any(f.kind == "namespace" for p in submission.pieces for f in p.frames):
        return list(submission.pieces)
    if len(submission.pieces) == 1:
        only = replace(submission.kernel, comment=submission.kernel.comment or kernel.comment)
        return [_inside(only, tuple(f for f in kernel.frames if f.kind != "condition"))]
    outer = tuple(f for f in kernel.frames if f.kind != "condition")
    namespaces = tuple(f for f in outer if f.kind == "namespace")
    return [
        p if p.kind in _FREE else _inside(p, outer if p is submission.kernel else namespaces)
        for p in submission.pieces
    ]


def _inside(piece: Piece, outer: tuple[Frame, ...]) -> Piece:
    return replace(piece, frames=(*outer, *piece.frames))


def _is_replaced(piece: Piece, new: Sequence[Piece]) -> bool:
    return piece.kind != "include" and any(_replaces(p, piece) for p in new)


def _replaces(new: Piece, old: Piece) -> bool:
    if set(new.names).isdisjoint(old.names):
        return False
    if not {new.kind, old.kind}.isdisjoint(_NOT_DEFINING):
        return new.text == old.text
    if old.is_specialization != new.is_specialization:
        return False
    if new.kind in _FUNCTIONS and old.kind in _FUNCTIONS:
        return parameter_keys(new) == parameter_keys(old) and (
            len(template_parameters(new)) == len(template_parameters(old))
        )
    return not new.is_specialization or new.text == old.text
