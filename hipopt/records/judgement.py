"""A verdict on one candidate, and the evidence that it rests on."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from hipopt.records.record import Record
from hipopt.records.workload import Family, Workload


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
    stage_seconds: dict[str, float] = msgspec.field(default_factory=dict)
    """Wall seconds by stage: compile, reference, check, time."""
