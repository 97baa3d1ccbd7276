"""What a fault says about how a kernel has to be launched."""

from __future__ import annotations

import pytest

from hipopt.workload.mend import apart, mend, smaller
from hipopt.workload.plan import MAX_LDS_BYTES, Plan

PLAN = Plan(template=(), block=(64, 4, 1), roles={}, contents={})


@pytest.mark.parametrize(
    ("reason", "block"),
    [
        ("went beyond the end of an array; line 3, thread (16,0,0) of block (0,0,0)", (16, 4, 1)),
        ("read 4 bytes outside of all arrays in LDS; thread (0,2,0) of block (1,0,0)", (64, 2, 1)),
        ("went beyond the end of an array; line 3, thread (0,0,0) of block (0,0,0)", (32, 4, 1)),
    ],
)
def test_an_array_too_short_means_a_smaller_block(reason: str, block: tuple[int, ...]) -> None:
    """The first thread that goes too far is left out; where it is the very first, half of all."""
    mended = mend(PLAN, reason)
    assert mended is not None
    assert mended.block == block


def test_dynamic_lds_too_short_means_more_of_it() -> None:
    """All there is, once; then nothing more can be asked for."""
    mended = mend(PLAN, "wrote 4 bytes outside of all arrays in LDS (dynamic LDS, byte 64)")
    assert mended is not None
    assert mended.lds_bytes == MAX_LDS_BYTES
    assert mend(mended, "outside of all arrays in LDS (dynamic LDS, byte 65536)") is None


def test_other_faults_ask_for_nothing() -> None:
    """A division by zero is no matter of size."""
    assert mend(PLAN, "SIGFPE; thread (5,0,0) of block (0,0,0)") is None


def test_a_launch_that_takes_too_long_gets_one_block() -> None:
    """Once; a single block that doesn't finish asks for nothing."""
    mended = mend(PLAN, "the kernel did not finish within 2 s")
    assert mended is not None
    assert mended.grid == "one"
    assert mend(mended, "the kernel did not finish within 2 s") is None


@pytest.mark.parametrize(
    "reason",
    [
        "the kernel did not finish within 2 s",
        "it takes long to look at",
        "it reaches 39040492 bytes into 'points'",
        "the kernel read 67108864 bytes behind the end of argument 5 'points'",
    ],
)
def test_a_launch_that_goes_too_far_gets_a_few_for_every_extent(reason: str) -> None:
    """Each extent another few; what is no extent stays."""
    plan = PLAN._replace(roles={"b": "GX", "c": "X", "n": "K", "step": "=1"})
    small = smaller(plan, reason)
    assert small is not None
    assert small.roles == {"b": "GX", "c": "F0", "n": "F1", "step": "=1"}
    assert smaller(small, reason) is None


def test_extents_stay_where_the_launch_went_wrong_otherwise() -> None:
    """Neither an idle launch nor one with a single extent becomes smaller."""
    plan = PLAN._replace(roles={"n": "X", "m": "K"})
    assert smaller(plan, "it writes nothing") is None
    assert smaller(PLAN._replace(roles={"n": "X"}), "the kernel did not finish within 2 s") is None


def test_rows_that_overlap_are_put_apart() -> None:
    """The strides become longer than a row of threads; without any there is nothing to mend."""
    plan = PLAN._replace(roles={"ld": "K", "n": "X", "step": "=1"})
    parted = apart(plan, {"ld", "step"})
    assert parted is not None
    assert parted.roles == {"ld": "XY", "n": "X", "step": "=1"}
    assert apart(parted, {"ld", "step"}) is None
