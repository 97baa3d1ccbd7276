"""The records that flow through hipopt, from a manifest row to a row of the result log.

All are frozen and checked where they are made. `to_json` and `from_json` of each record are the
only way in and out, so that the names here are the names in every file and message.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, TypeAlias

import msgspec

from hipopt.errors import WorkloadError

SCHEMA_VERSION = 4
"""Version of result rows. 1: the first. 2: what a verdict rests on: a mismatch's family, schedule
and tolerance; a judgement's checks, tolerance source and lockstep. 3: `retry`, and the `checksum`
that the collector adds. 4: resources of each attempt, with AGPRs, spills, what bounds occupancy,
wave and code size."""

KernelId: TypeAlias = int | str

DType: TypeAlias = Literal[
    "float16", "bfloat16", "float32", "float64",
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool",
]  # fmt: skip

Fill: TypeAlias = Literal["zeros", "ones", "iota", "normal", "uniform", "index", "sorted"]

Family: TypeAlias = Literal["ordinary", "wide", "whole", "extreme"]

FAMILIES: tuple[Family, ...] = ("ordinary", "wide", "whole", "extreme")
"""Input data comes from these; see `workload.families`."""

RANDOM_FILLS: frozenset[str] = frozenset({"normal", "uniform", "index", "sorted"})


class Verdict(StrEnum):
    """The outcome of judging one candidate."""

    FASTER = "faster"  # correct; the speedup's interval clears the noise and the least speedup
    SAME = "same"  # correct, not slower, and the interval lies within the least speedup either way
    SLOWER = "slower"  # correct, and slower by more than the noise
    INCONCLUSIVE = "inconclusive"  # correct, but the timing can't tell
    MISMATCH = "mismatch"  # computes something else than the reference
    NONDETERMINISTIC = "nondeterministic"  # differs from run to run where the reference doesn't
    COMPILE_ERROR = "compile_error"  # the compiler refused the candidate
    REJECTED = "rejected"  # holds what a kernel may not hold, or other arguments than the reference
    CRASHED = "crashed"  # died on a signal, ran out of memory, called abort
    TIMEOUT = "timeout"  # did not finish before its deadline
    OUT_OF_BOUNDS = "out_of_bounds"  # touched memory outside its buffers
    UNVERIFIABLE = "unverifiable"  # no workload on which a verdict would mean anything
    REFERENCE_ERROR = "reference_error"  # the original does not compile or run

    @property
    def correct(self) -> bool:
        """Whether the candidate computes what the reference computes."""
        return self in _CORRECT


_CORRECT = {Verdict.FASTER, Verdict.SAME, Verdict.SLOWER, Verdict.INCONCLUSIVE}


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Base of all records."""

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings, ready for `json.dumps`."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


class Buffer(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A pointer argument: `length` elements of dtype `buffer`."""

    name: str
    buffer: DType
    length: int
    """Number of elements."""
    fill: Fill = "zeros"
    """How the buffer is filled before every launch."""
    low: float | None = None
    """Least value of a `uniform` or `sorted` fill; None: 0, or the ordinary range."""
    high: float | None = None
    """Bound that a `uniform` or `sorted` fill stays below; None: 1, or the ordinary range."""
    below: int | None = None
    """Bound that the integers of an `index` fill stay below; None: the buffer's length."""

    def __post_init__(self) -> None:
        if self.length < 1:
            raise WorkloadError(
                f"buffer '{self.name}': length is {self.length}, expected 1 or more"
            )
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise WorkloadError(
                f"buffer '{self.name}': low {self.low} is not below high {self.high}"
            )
        if self.below is not None and self.below < 1:
            raise WorkloadError(f"buffer '{self.name}': below is {self.below}, expected 1 or more")


class Scalar(Record, frozen=True, kw_only=True):
    """An argument passed by value."""

    name: str
    scalar: DType
    value: float | int | bool

    def __post_init__(self) -> None:
        if "float" not in self.scalar and (
            not math.isfinite(self.value) or int(self.value) != self.value
        ):
            raise WorkloadError(f"scalar '{self.name}': {self.value} is no {self.scalar}")


Argument: TypeAlias = Buffer | Scalar


class Workload(Record, frozen=True, kw_only=True):
    """One way to launch a kernel. `args` stand in the order of the kernel's parameters."""

    grid: tuple[int, int, int]
    """Blocks in x, y, z."""
    block: tuple[int, int, int]
    """Threads of a block in x, y, z; at most 1024 together."""
    args: tuple[Argument, ...]
    lds_bytes: int = 0
    """Dynamic LDS (shared memory) in bytes."""
    template: tuple[str, ...] = ()
    """Template arguments, as written between the angle brackets; empty for a plain kernel."""
    timed: bool = True
    """Whether candidates may be timed on it; all are checked on it."""

    def __post_init__(self) -> None:
        if min(self.grid) < 1 or min(self.block) < 1:
            raise WorkloadError(f"grid {self.grid} and block {self.block} must be 1 or more")
        if math.prod(self.block) > 1024:
            raise WorkloadError(f"block {self.block} has more than 1024 threads")
        if not 0 <= self.lds_bytes <= 160 * 1024:
            raise WorkloadError(f"lds_bytes is {self.lds_bytes}, expected 0 to 163840")

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """The pointer arguments, in order."""
        return tuple(a for a in self.args if isinstance(a, Buffer))

    @classmethod
    def from_json(cls, raw: object) -> Workload:
        """The workload in the documented form.

        Raises:
            WorkloadError: naming the field and what was expected.
        """
        if not isinstance(raw, Mapping):
            raise WorkloadError(f"a workload is a JSON object, got {type(raw).__name__}")
        unknown = set(raw) - {"grid", "block", "args", "lds_bytes", "template", "timed"}
        if unknown:
            raise WorkloadError(f"unknown workload field '{min(unknown)}'")
        missing = {"grid", "block", "args"} - set(raw)
        if missing:
            raise WorkloadError(f"workload field '{min(missing)}' is missing")
        args = raw["args"]
        if not isinstance(args, list):
            raise WorkloadError("'args' is a list with one object for each kernel parameter")
        return cls(
            grid=_dim3(raw["grid"], "grid"),
            block=_dim3(raw["block"], "block"),
            args=tuple(_argument(a, i) for i, a in enumerate(args)),
            lds_bytes=_convert(raw.get("lds_bytes", 0), int, "lds_bytes"),
            template=_convert(raw.get("template", ()), tuple[str, ...], "template"),
            timed=_convert(raw.get("timed", True), bool, "timed"),
        )


def _convert(raw: object, kind: Any, where: str) -> Any:  # noqa: ANN401 (any type goes in and comes out)
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise WorkloadError(f"{where}: {error}") from None


def _dim3(raw: object, where: str) -> tuple[int, int, int]:
    """One to three integers; what is left out is 1, as in HIP's dim3."""
    sizes = [raw] if isinstance(raw, int) else raw
    dims: list[int] = _convert(sizes, list[int], where)
    if not 1 <= len(dims) <= 3:
        raise WorkloadError(f"{where}: expected one to three integers, got {len(dims)}")
    x, y, z = (*dims, 1, 1)[:3]
    return x, y, z


def _argument(raw: object, index: int) -> Argument:
    where = f"args[{index}]"
    if not isinstance(raw, Mapping):
        raise WorkloadError(f"{where}: expected an object, got {type(raw).__name__}")
    if ("buffer" in raw) == ("scalar" in raw):
        raise WorkloadError(f"{where}: expected either 'buffer' or 'scalar' with a dtype")
    kind: type[Argument] = Buffer if "buffer" in raw else Scalar
    unknown = set(raw) - set(kind.__struct_fields__)
    if unknown:
        raise WorkloadError(f"{where}: unknown field '{min(unknown)}'")
    argument: Argument = _convert({"name": f"arg{index}", **raw}, kind, where)
    return argument


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


class Resources(Record, frozen=True, kw_only=True):
    """What a code object needs of the device. None: this device can't tell."""

    lds_bytes: int | None = None
    """Static, of a block."""
    vgprs: int | None = None
    """Of a lane; where AGPRs come out of the same registers, with them."""
    agprs: int | None = None
    sgprs: int | None = None
    """Of a wavefront."""
    scratch_bytes: int | None = None
    """Of a lane."""
    vgpr_spills: int | None = None
    """Registers that were stored away for want of room."""
    sgpr_spills: int | None = None
    occupancy: int | None = None
    """Wavefronts per SIMD at most."""
    occupancy_limit: Literal["waves", "vgprs", "sgprs", "lds", "blocks"] | None = None
    """What stops more; `waves`: all slots are taken."""
    wave_size: int | None = None
    """Lanes of a wavefront that it was compiled for."""
    code_bytes: int | None = None
    """Size of the kernel's machine code."""


class Mismatch(Record, frozen=True, kw_only=True):
    """Where and how far a candidate's output is off."""

    workload: int
    """Index of the workload."""
    seed: int
    argument: str
    """Name of the buffer."""
    wrong: int
    """Number of wrong elements."""
    length: int
    """Number of elements of the buffer."""
    first_index: int
    expected: str
    """The reference's value at `first_index`, as text (so that NaN and infinity survive JSON)."""
    actual: str
    max_abs_error: float | None
    """None where no finite difference exists."""
    tolerance: float = 0.0
    """Largest difference allowed at `first_index`; 0: exact."""
    rtol: float
    atol: float
    """No tolerance of this buffer was wider than rtol x |expected| + atol."""
    family: Family = "ordinary"
    """Which family the data came from."""
    schedule: str = "forward"
    """In which order blocks and threads ran; a GPU's own order counts as forward."""

    def describe(self) -> str:
        """One sentence for a person or a model."""
        far = "" if self.max_abs_error is None else f"; largest error {self.max_abs_error:.3g}"
        order = "" if self.schedule == "forward" else f", threads run in {self.schedule} order"
        return (
            f"'{self.argument}' differs in {self.wrong} of {self.length} elements, first at index "
            f"{self.first_index}: expected {self.expected}, got {self.actual}{far} (allowed there "
            f"{self.tolerance:.1e}; workload {self.workload}, {self.family} data{order})"
        )


class Timing(Record, frozen=True, kw_only=True):
    """How fast the candidate is beside the reference, on one workload."""

    speedup: float
    """Median over blocks of reference time by candidate time."""
    low: float
    high: float
    """Bootstrap interval of the speedup, drawn over rounds."""
    confidence: float
    """Of the interval, as a share of 1."""
    noise_floor: float
    """Ratio, 1 or more: what the reference and a second build of itself may differ by here and
    now. No smaller difference is called faster or slower."""
    rounds: int
    """Number of rounds kept; each is a fresh process of each kernel, on data of its own."""
    blocks: int
    """Number of interleaved blocks kept, in all rounds."""
    rejected_blocks: int
    """Number of blocks thrown away because the machine was disturbed."""
    confirmed: bool
    """True: a second, independent measurement came to the same verdict. False: there was none,
    as the first showed no difference, or it came to another."""
    reference_time_us: float
    candidate_time_us: float
    """Median times of one launch."""
    workload: int
    emulated: bool
    """True: CPU time of the emulator, which says nothing about a GPU."""

    def describe(self) -> str:
        """One sentence for a person or a model."""
        where = "CPU time of the emulator, not of a GPU" if self.emulated else "GPU time"
        return (
            f"{self.speedup:.3g}x ({self.confidence:.0%} interval {self.low:.3g} to "
            f"{self.high:.3g}, noise {self.noise_floor - 1:.1%}; original "
            f"{self.reference_time_us:.0f} us, candidate {self.candidate_time_us:.0f} us a launch; "
            f"{where})"
        )


class Judgement(Record, frozen=True, kw_only=True):
    """A verdict with its evidence."""

    verdict: Verdict
    reason: str
    """One or a few sentences, fit for a person and for the model's feedback."""
    speedup: float | None = None
    """None: not timed."""
    timing: Timing | None = None
    mismatch: Mismatch | None = None
    compiler_output: str | None = None
    """Errors as the compiler printed them, paths shortened; None where it accepted."""
    seeds: tuple[int, ...] = ()
    workloads: tuple[Workload, ...] = ()
    """The workloads judged on."""
    checks: tuple[str, ...] = ()
    """What was looked at and found in order, one sentence each."""
    tolerance_source: str | None = None
    """Where float tolerances come from; None: no result was compared."""
    lockstep: str | None = None
    """Where the candidate counts on the lanes of a wave running in step; None: not seen."""
    guessed_workloads: bool = False
    """True: the workloads were found by hipopt, none were given."""
    workload_reasons: tuple[str, ...] = ()
    """For each workload that was found, why it looks as it does; empty where they were given."""
    workload_notes: tuple[str, ...] = ()
    """Why other workloads that were given or guessed did not count."""
    device: str = ""
    toolchain: str = ""
    resources: Resources | None = None
    stage_seconds: dict[str, float] = {}
    """Wall seconds by stage: compile, reference, check, time."""


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
