"""A kernel cut out of its file, with all that it needs and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from hipopt.errors import SourceError
from hipopt.source.capsule import Capsule
from hipopt.source.closure import closure
from hipopt.source.headers import header_of, include_lines
from hipopt.source.launches import launches
from hipopt.source.layout import Assumptions, lay_out
from hipopt.source.merge import body_start, is_body, merge, parameter_keys, read_submission
from hipopt.source.parameters import parameters, template_parameters
from hipopt.source.parse import SourceFile, parse
from hipopt.source.piece import Piece
from hipopt.source.shims import shims
from hipopt.source.tokens import clean, directive_name, fingerprint


def slice_kernel(source: str | None, name: str, *, code_body: str | None = None) -> Capsule:
    """The kernel `name` with just the helpers, macros, constants and types that it needs.

    `source` is its whole file; `code_body` the kernel as the manifest has it: the function, only
    its body, or the function with helpers. Where both are there and differ, `code_body` takes the
    place of what the file has. Where `source` is None, `code_body` has to stand alone.

    Raises:
        SourceError: no such kernel, or several, or a source that can't be cut; says which.
    """
    if source is None:
        return capsule_from_code(code_body or "", name)
    file = parse(source)
    kernel = find_kernel(file, name, code_body)
    if code_body is None or _is_same(kernel, code_body):
        return build_capsule(file.pieces, kernel)
    merged, new_kernel = merge(file.pieces, kernel, read_submission(code_body, kernel, file.pieces))
    return build_capsule(merged, new_kernel)


def capsule_from_code(code: str, name: str) -> Capsule:
    """The kernel `name` of a manifest row whose file isn't there.

    Raises:
        SourceError: `code` is only a body, or holds no such kernel.
    """
    text = clean(code)
    if is_body(text):
        raise SourceError(
            f"kernel '{name}': code_body is only a body, and the file that declares its parameters "
            "is missing; put the hip_file in place or the whole function into code_body"
        )
    file = parse(text)
    return build_capsule(file.pieces, find_kernel(file, name, None))


def build_capsule(pieces: Sequence[Piece], kernel: Piece) -> Capsule:
    """The capsule of `kernel`, which is one of `pieces`."""
    assumptions = Assumptions(kernel.frames)
    reduced = [(p, assumptions.reduce(p.frames)) for p in pieces]
    freed = {p: replace(p, frames=frames) for p, frames in reduced if frames is not None}
    sure = (p for p in freed.values() if p.kind != "using" and not _may_be_absent(p))
    defined = {name for piece in sure for name in piece.names}
    kept, words = closure(freed[kernel], [*shims(defined), *freed.values()])
    headers = [header_of(p.names[0]) for p in freed if p.kind == "include" and p.names]
    kernel = freed[kernel]
    return Capsule(
        source=lay_out(include_lines(headers, words), kept),
        kernel=kernel.qualified_name,
        parameters=parameters(kernel, kept),
        template_parameters=template_parameters(kernel),
        kernel_text=kernel.text,
        launches=launches(pieces, kernel.names[0]),
    )


def _may_be_absent(piece: Piece) -> bool:
    """Whether it is a macro that some build does without: one within an `#if` or `#ifdef`.

    An `#ifndef` guards a header, or what stands in for a macro that nobody else has defined.
    """
    conditions = [f.headers[0] for f in piece.frames if f.kind == "condition"]
    return piece.kind == "macro" and any(directive_name(c) != "ifndef" for c in conditions)


# -- finding the kernel -----------------------------------------------------------------------


def find_kernel(file: SourceFile, name: str, code_body: str | None) -> Piece:
    """The definition of `name`, plain or qualified; among several the one that `code_body` shows.

    Raises:
        SourceError: none or several; lists the kernels or the lines.
    """
    plain = _plain(name)
    found = [k for k in file.kernels if _is_called(k, plain)]
    if not found:
        raise SourceError(_not_found(file, plain))
    if len(found) == 1:
        return found[0]
    matching = _matching(found, code_body, file) if code_body is not None else []
    if matching:
        return matching[0]
    lines = ", ".join(f"{k.line} ({k.qualified_name})" for k in found)
    raise SourceError(
        f"kernel '{plain}' is defined {len(found)} times, in lines {lines}; "
        "code_body is like none of them, so which one is meant?"
        if code_body is not None
        else f"kernel '{plain}' is defined {len(found)} times, in lines {lines}; "
        "give its code_body to say which one is meant"
    )


def _plain(name: str) -> str:
    """`ns::k` of `::ns::k<float>` or `void ns::k(float*)`."""
    head = re.split(r"[<(]", name, maxsplit=1)[0].strip()
    return head.split()[-1].removeprefix("::") if head else name


def _is_called(kernel: Piece, name: str) -> bool:
    return f"::{kernel.qualified_name}".endswith(f"::{name}")


def _not_found(file: SourceFile, name: str) -> str:
    if name in file.made_by_macro:
        return (
            f"kernel '{name}' exists only as the macro {file.made_by_macro[name]} expands, "
            "so it can't be cut out"
        )
    there = sorted({k.qualified_name for k in file.kernels})
    listed = ", ".join(there[:20]) if there else "none"
    return f"no kernel '{name}' in the source; kernels there: {listed}"


def _matching(found: Sequence[Piece], code_body: str, file: SourceFile) -> list[Piece]:
    """The definitions that `code_body` shows: by text, by its body, then by parameters."""
    same = [k for k in found if _is_same(k, code_body)]
    if same or is_body(clean(code_body)):
        return same
    try:
        shown = read_submission(code_body, found[0], file.pieces).kernel
    except SourceError:
        return []
    same = [k for k in found if _is_same(k, shown.text)]
    return same or _alone([k for k in found if parameter_keys(k) == parameter_keys(shown)])


def _alone(found: list[Piece]) -> list[Piece]:
    return found if len(found) == 1 else []


def _is_same(kernel: Piece, code: str) -> bool:
    """Whether `code` is the kernel's text or its body; spaces and comments don't count."""
    shown = fingerprint(clean(code))
    body = fingerprint(kernel.text[body_start(kernel.text) :])
    return shown in (fingerprint(kernel.text), body, body[1:-1])
