"""What is asked for one kernel, and the row of the result log that comes of it."""

from __future__ import annotations

from typing import Literal, TypeAlias

from hipopt.records.judgement import Judgement, Resources, Verdict
from hipopt.records.record import Record
from hipopt.records.workload import Workload

SCHEMA_VERSION = 4
"""Version of result rows. 1: the first. 2: what a verdict rests on: a mismatch's family, schedule
and tolerance; a judgement's checks, tolerance source and lockstep. 3: `retry`, and the `checksum`
that the collector adds. 4: resources of each attempt, with AGPRs, spills, what bounds occupancy,
wave and code size."""

KernelId: TypeAlias = int | str


class KernelTask(Record, frozen=True, kw_only=True):
    """One kernel to optimise: a manifest row, with its shard and its file's text."""

    id: KernelId
    name: str
    """The kernel function's name."""
    code_body: str
    """The kernel's source: the whole function, or only its body."""
    hip_file: str | None = None
    """The file that the kernel came from, as the manifest names it."""
    hip_source: str | None = None
    """That file's text, where it was on disk when the kernel was dispatched."""
    workloads: tuple[Workload, ...] = ()
    shard: int = 0
    retry: int = 0
    """How often it is done again although the log held a row: 0, or that row's `retry` + 1."""


class Attempt(Record, frozen=True, kw_only=True):
    """One round with the model: what it answered and what came of it."""

    number: int
    """From 1."""
    outcome: str
    """A `Verdict`, `malformed_reply`, or `prompt_refused`."""
    reason: str
    speedup: float | None = None
    candidate_sha256: str | None = None
    """None where the reply held no candidate."""
    resources: Resources | None = None
    """What the candidate's code takes; None where none was made."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    """Wall seconds of judging."""


FailureKind: TypeAlias = Literal[
    "no_speedup", "mismatch", "nondeterministic", "compile_error", "rejected", "crashed", "timeout",
    "out_of_bounds", "unverifiable", "reference_error", "malformed_reply", "no_reply",
    "prompt_refused", "source_error", "worker_lost",
]  # fmt: skip


class ResultRow(Record, frozen=True, kw_only=True):
    """One line of the result log: all that is known of one kernel, final."""

    id: KernelId
    status: Literal["success", "failure"]
    name: str
    hip_file: str | None = None
    opt_kernel: str | None = None
    """The best correct candidate, whole function with its helpers; None if none was correct."""
    opt_think: str | None = None
    """The model's thinking that came with `opt_kernel`."""
    speedup: float | None = None
    """The speedup of `opt_kernel`, of no other candidate."""
    error_message: str | None = None
    """None on success."""
    failure_kind: FailureKind | None = None
    """None on success."""
    verdict: Verdict | None = None
    """Verdict on `opt_kernel`, or on the last candidate judged; None if none was."""
    judgement: Judgement | None = None
    """Evidence behind `verdict`."""
    attempts: tuple[Attempt, ...] = ()
    model: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    shard: int = 0
    retry: int = 0
    """The kernel's row with the highest `retry` counts, whatever the others say; among equals the
    first."""
    worker: str | None = None
    started_at: str | None = None
    """UTC, ISO 8601."""
    finished_at: str | None = None
    task_sha256: str | None = None
    """Hash of the manifest row's id, name and code_body."""
    opt_kernel_sha256: str | None = None
    schema_version: int = SCHEMA_VERSION
