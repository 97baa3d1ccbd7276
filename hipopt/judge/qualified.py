"""A workload that counts, and what is known of the reference on it."""

from __future__ import annotations

import msgspec

from hipopt.judge.execution import Arrays
from hipopt.records import FAMILIES, Family, Record, Workload
from hipopt.workload.fill import family_of, fill_workload, poison_of, poisoned
from hipopt.workload.freedom import Freedom


class Qualified(Record, frozen=True, kw_only=True):
    """A workload on which verdicts mean something."""

    workload: Workload
    outputs: tuple[bool, ...]
    """For each buffer: whether the reference writes it without reading what it held before, so
    that it may be poisoned."""
    families: tuple[Family, ...] = FAMILIES
    """Families of input data on which verdicts mean something; `ordinary` is always among them."""
    notes: tuple[str, ...] = ()
    """Why other families don't count, and what can't be looked at."""
    freedoms: dict[Family, Freedom] = msgspec.field(default_factory=dict)
    """By family, what varies beyond what the workload declares."""
    scales: dict[Family, tuple[float, ...]] = msgspec.field(default_factory=dict)
    """By family, for each buffer: the magnitude of what the reference leaves there, 0 where
    it writes nothing."""
    measured: bool = False
    """Whether a microscope can tell how far the reference's rounding carries."""
    any_order: bool = False
    """Whether the reference's results move, within its tolerance, with the order of threads."""
    screened: bool = False
    """Whether the reference runs on the microscope's plain build as it does on the device, so that
    candidates can be tried there in several orders of threads."""
    instrumented: bool = False
    """Whether the reference ends well in the microscope's instrumented build, so that candidates
    must do so too."""
    races: bool = False
    """Whether the reference itself shows a race, so that a candidate may."""
    instead: dict[int, int] = msgspec.field(default_factory=dict)
    """By seed, the one whose data take the place of its own, as the original goes astray there."""

    launch_us: float = 0.0
    """Time of one launch of the reference."""
    instrumented_s: float = 0.0
    """Wall seconds that a look at the instrumented reference took."""

    def family(self, seed: int) -> Family:
        """The family that a seed's data come from: its own, if that one counts here."""
        family = family_of(self.instead.get(seed, seed))
        return family if family in self.families else "ordinary"

    def scale(self, seed: int, index: int) -> float:
        """The magnitude that buffer `index` usually has; 0: not known."""
        scales = self.scales.get(self.family(seed))
        return scales[index] if scales else 0.0

    def launch(self, seed: int) -> Workload:
        """The workload as it is launched on the seed's data: with its scalars."""
        return self.launch_of(self.family(seed), seed)

    def launch_of(self, family: Family, seed: int) -> Workload:
        """The workload as it is launched on data of `family`."""
        seed = self.instead.get(seed, seed)
        freedom = self.freedoms.get(family)
        return freedom.launch(self.workload, seed, family) if freedom else self.workload

    def contents(self, seed: int) -> Arrays:
        """What the buffers hold before a launch: the seed's fill, outputs poisoned."""
        return self.contents_of(self.family(seed), seed)

    def contents_of(self, family: Family, seed: int) -> Arrays:
        """What the buffers hold before a launch on data of `family`, outputs poisoned."""
        seed = self.instead.get(seed, seed)
        filled = fill_workload(self.launch_of(family, seed), seed, family)
        return [
            poisoned(array, poison_of(seed)) if output else array
            for array, output in zip(filled, self.outputs, strict=True)
        ]


class Disqualified(Record, frozen=True, kw_only=True):
    """Why a workload does not count."""

    reason: str
    by_fault: bool = False
    """Whether the reference did something wrong on it, that is not the workload's mistake."""
