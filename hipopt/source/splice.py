"""A model's answer put into the place of the reference's kernel."""

from __future__ import annotations

from typing import Literal

import msgspec

from hipopt.errors import SourceError
from hipopt.records import Record, Verdict
from hipopt.source.capsule import Capsule, KernelParameter
from hipopt.source.headers import is_outside_path
from hipopt.source.merge import Submission, merge, read_submission
from hipopt.source.parameters import type_aliases, type_key
from hipopt.source.parse import parse
from hipopt.source.piece import Piece
from hipopt.source.slice import build_capsule, find_kernel
from hipopt.source.tokens import code_tokens


class SpliceFailure(Record, frozen=True, kw_only=True):
    """An answer that can't take the reference's place."""

    verdict: Literal[Verdict.REJECTED] | None
    """None: the answer is malformed, there is no candidate in it to reject."""
    reason: str
    """One sentence, fit for a person and for the model's feedback."""

    @property
    def malformed(self) -> bool:
        """Whether the answer holds no kernel that could be judged."""
        return self.verdict is None


def splice(reference: Capsule, code: str) -> Capsule | SpliceFailure:
    """The reference with its kernel replaced by the one in `code`, or why that can't be.

    `code` is a whole file, a kernel with or without helpers, or only a kernel's body. What it
    defines replaces what the reference defines under the same name; host code in it is left out.
    The kernel keeps its name, the types of its arguments, and how its file launches it.
    """
    file = parse(reference.source)
    kernel = find_kernel(file, reference.kernel, reference.kernel_text)
    try:
        submission = read_submission(code, kernel, file.pieces)
        pieces, new_kernel = merge(file.pieces, kernel, submission)
        candidate = build_capsule(pieces, new_kernel)
    except SourceError as error:
        return SpliceFailure(verdict=None, reason=str(error))
    objection = _foreign_include(submission) or _other_arguments(reference, candidate)
    if objection is not None:
        return SpliceFailure(verdict=Verdict.REJECTED, reason=objection)
    return msgspec.structs.replace(candidate, launches=reference.launches)


def _foreign_include(submission: Submission) -> str | None:
    for piece in submission.pieces:
        if piece.kind == "include" and any(map(is_outside_path, piece.names)):
            return (
                f"line {piece.line} includes {piece.names[0]}: a kernel may include headers of HIP "
                "and the standard library, but no file by its path"
            )
    return None


def _other_arguments(reference: Capsule, candidate: Capsule) -> str | None:
    """What differs between the parameters of the two kernels; None if their types agree."""
    if len(reference.template_parameters) != len(candidate.template_parameters):
        return (
            f"expected template parameters <{', '.join(reference.template_parameters)}> as the "
            f"reference has them, got <{', '.join(candidate.template_parameters)}>"
        )
    expected = signature(reference)
    got = signature(candidate)
    if expected == got:
        return None
    if len(expected) != len(got):
        return (
            f"the reference takes {len(expected)} arguments and this kernel {len(got)}: expected "
            f"({_listed(reference.parameters)}), got ({_listed(candidate.parameters)})"
        )
    index = next(i for i, (a, b) in enumerate(zip(expected, got, strict=True)) if a != b)
    want, have = reference.parameters[index], candidate.parameters[index]
    return (
        f"parameter {index + 1} is '{have.type_text} {have.name}', but the reference takes "
        f"'{want.type_text} {want.name}' there"
    )


def _listed(parameters: tuple[KernelParameter, ...]) -> str:
    return ", ".join(f"{p.type_text} {p.name}" for p in parameters)


def signature(capsule: Capsule) -> tuple[str, ...]:
    """The types of the kernel's arguments, in one spelling each, template parameters numbered."""
    aliases = type_aliases(_types(capsule))
    for index, parameter in enumerate(capsule.template_parameters):
        aliases[_parameter_name(parameter)] = f"template_{index}"
    return tuple(type_key(p.type_text, aliases) for p in capsule.parameters)


def _types(capsule: Capsule) -> tuple[Piece, ...]:
    return parse(capsule.source).pieces


def _parameter_name(template_parameter: str) -> str:
    words = [t.text for t in code_tokens(template_parameter) if t.kind == "word"]
    return words[-1] if words else template_parameter
