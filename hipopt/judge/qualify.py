"""Whether a verdict on a workload would mean anything, and which buffers are outputs.

A workload counts only if the reference runs on it in bounds, repeats itself, and computes something
that candidates which do nothing of the kind (leave everything as it was, write zeros or ones, copy
an input) don't get right under the very comparison that candidates are judged by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hipopt.device.interface import Fault, Session
from hipopt.judge.compare import difference
from hipopt.judge.execution import Arrays, launch_and_read, run_once
from hipopt.records import RANDOM_FILLS, Buffer, Record, Workload
from hipopt.workload.fill import POISONS, fill_workload, poisoned


class Qualified(Record, frozen=True, kw_only=True):
    """A workload on which verdicts mean something."""

    workload: Workload
    outputs: tuple[bool, ...]
    """For each buffer: whether the reference writes it without reading what it held before, so
    that it may be poisoned."""

    def contents(self, seed: int) -> Arrays:
        """What the buffers hold before a launch: the seed's fill, outputs poisoned."""
        byte = POISONS[seed % len(POISONS)]
        filled = fill_workload(self.workload, seed)
        return [
            poisoned(array, byte) if output else array
            for array, output in zip(filled, self.outputs, strict=True)
        ]


class Disqualified(Record, frozen=True, kw_only=True):
    """Why a workload does not count."""

    reason: str
    fault: Fault | None = None
    """What the reference did wrong, where it did."""


def qualify(
    session: Session, workload: Workload, const: Sequence[bool], seeds: tuple[int, int],
    timeout_s: float,
) -> Qualified | Disqualified:  # fmt: skip
    """The workload with its outputs told apart, or why it doesn't count.

    Args:
        session: a session of the reference.
        workload: the launch to look at.
        const: for each buffer, whether the kernel takes it as a pointer to const.
        seeds: two different seeds.
        timeout_s: the longest launch.
    """
    found = _find_outputs(session, workload, const, seeds[0], timeout_s)
    if isinstance(found, Fault):
        return Disqualified(reason=f"the original fails on it: {found.reason}", fault=found)
    qualified = Qualified(workload=workload, outputs=found)
    results = []
    for seed in seeds:
        before = qualified.contents(seed)
        first = run_once(session, workload, before, timeout_s)
        again = first if isinstance(first, Fault) else launch_and_read(session, timeout_s)
        if isinstance(first, Fault) or isinstance(again, Fault):
            fault = first if isinstance(first, Fault) else again
            assert isinstance(fault, Fault)  # noqa: S101 (narrows the type)
            return Disqualified(reason=f"the original fails on it: {fault.reason}", fault=fault)
        objection = _objection(qualified, before, first, again)
        if objection:
            return Disqualified(reason=objection)
        results.append(first)
    if _draws(workload) and _all_agree(qualified, *results):
        return Disqualified(reason="the outputs don't depend on the inputs")
    return qualified


def _find_outputs(
    session: Session, workload: Workload, const: Sequence[bool], seed: int, timeout_s: float
) -> tuple[bool, ...] | Fault:
    """Which buffers the reference writes without reading what they held.

    Poison is put into the writable buffers, all at once and, if that changes the results, into one
    at a time: a buffer is an output if nothing but poison itself comes out otherwise.
    """
    filled = fill_workload(workload, seed)
    plain = run_once(session, workload, filled, timeout_s)
    if isinstance(plain, Fault):
        return plain
    writable = [not fixed for fixed in const]
    singles = ([i == j for j in range(len(const))] for i, free in enumerate(writable) if free)
    outputs = [False] * len(const)
    for trial in (writable, *singles):
        unread = _reads_no_poison(session, workload, filled, plain, trial, timeout_s)
        outputs = [a or (b and unread) for a, b in zip(outputs, trial, strict=True)]
        if unread and trial is writable:
            break
    return tuple(
        output and not np.array_equal(_bits(before), _bits(after))
        for output, before, after in zip(outputs, filled, plain, strict=True)
    )


def _reads_no_poison(
    session: Session, workload: Workload, filled: Arrays, plain: Arrays, trial: list[bool],
    timeout_s: float,
) -> bool:  # fmt: skip
    before = [
        poisoned(array, POISONS[0]) if poison else array
        for array, poison in zip(filled, trial, strict=True)
    ]
    after = run_once(session, workload, before, timeout_s)
    if isinstance(after, Fault):
        return False
    return all(
        bool(np.all((_bits(p) == _bits(a)) | ((_bits(a) == _bits(b)) & (_bits(p) == _bits(f)))))
        for f, b, p, a in zip(filled, before, plain, after, strict=True)
    )


def _bits(array: np.ndarray) -> np.ndarray:
    return array.view(np.dtype(f"u{array.dtype.itemsize}"))


def _objection(qualified: Qualified, before: Arrays, first: Arrays, again: Arrays) -> str | None:
    if not _agree(qualified, before, first, again):
        return "the original's results differ from run to run"
    if all(np.array_equal(_bits(b), _bits(f)) for b, f in zip(before, first, strict=True)):
        return "the original writes nothing"
    for name, null in _null_results(before, first):
        if _agree(qualified, before, first, null):
            return f"a kernel that {name} would pass"
    return None


def _agree(qualified: Qualified, before: Arrays, expected: Arrays, actual: Arrays) -> bool:
    return all(
        difference(buffer.buffer, b, e, a, poisoned=output) is None
        for buffer, output, b, e, a in zip(
            qualified.workload.buffers, qualified.outputs, before, expected, actual, strict=True
        )
    )


def _null_results(before: Arrays, after: Arrays) -> Iterator[tuple[str, Arrays]]:
    """What candidates that compute nothing would leave behind, each with its name."""
    written = [not np.array_equal(_bits(b), _bits(a)) for b, a in zip(before, after, strict=True)]

    def replaced(values: Arrays) -> Arrays:
        rows = zip(written, values, before, strict=True)
        return [value if was_written else kept for was_written, value, kept in rows]

    yield "does nothing", before
    yield "writes zeros", replaced([np.zeros_like(a) for a in after])
    yield "writes ones", replaced([np.ones_like(a) for a in after])
    for source in before:
        if any(
            w and source.dtype == a.dtype and source.size >= a.size
            for w, a in zip(written, after, strict=True)
        ):
            yield "copies an input", replaced([_copied(source, a) for a in after])


def _copied(source: np.ndarray, like: np.ndarray) -> np.ndarray:
    fits = source.dtype == like.dtype and source.size >= like.size
    return source[: like.size] if fits else like


def _draws(workload: Workload) -> bool:
    """Whether a seed changes anything that the reference might read."""
    return any(isinstance(a, Buffer) and a.fill in RANDOM_FILLS for a in workload.args)


def _all_agree(qualified: Qualified, first: Arrays, second: Arrays) -> bool:
    """Whether two seeds led to the same outputs."""
    changed = [
        np.array_equal(_bits(a), _bits(b))
        for a, b, output in zip(first, second, qualified.outputs, strict=True)
        if output
    ]
    return bool(changed) and all(changed)
