"""The physical floor."""

import numpy as np
import pytest

from hipopt.device.interface import DeviceDescription
from hipopt.judge.bandwidth import bytes_changed, check_possible
from hipopt.judge.objection import Objection
from hipopt.records import Verdict


def device(gb_s: float | None) -> DeviceDescription:
    return DeviceDescription(
        kind="amd", name="n", arch="gfx942", wave_size=64, toolchain="t", emulated=False,
        peak_bandwidth_gb_s=gb_s,
    )  # fmt: skip


def test_a_time_below_what_the_writes_take_is_refused() -> None:
    """4 MB at 1000 GB/s take 4 us; a launch of 3 us did not write them."""
    with pytest.raises(Objection, match="take 4 us") as caught:
        check_possible(device(1000), 4_000_000, 20.0, 3.0)
    assert caught.value.verdict is Verdict.REJECTED


@pytest.mark.parametrize(
    ("gb_s", "reference_us", "candidate_us"),
    [(1000, 20.0, 4.1), (None, 20.0, 0.001), (1000, 3.5, 3.0)],
)
def test_a_time_that_may_be_passes(
    gb_s: float | None, reference_us: float, candidate_us: float
) -> None:
    """At the floor, without one, and where the reference itself shows that the floor is wrong."""
    check_possible(device(gb_s), 4_000_000, reference_us, candidate_us)


def test_only_elements_that_change_must_be_written() -> None:
    """An element counts whole if any of its bits changes, NaN compared by bits."""
    before = [np.array([1.0, np.nan, 3.0], np.float32), np.zeros(4, np.float64)]
    after = [np.array([1.0, np.nan, 4.0], np.float32), np.array([0.0, 1.0, -0.0, 2.0])]
    assert bytes_changed(before, after) == 4 + 3 * 8
