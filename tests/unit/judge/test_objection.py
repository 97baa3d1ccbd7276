"""Who is blamed for a judgement that takes too long."""

from __future__ import annotations

import time
from itertools import count

import pytest

from hipopt.errors import DeviceError
from hipopt.judge.objection import Objection, within
from hipopt.records import Verdict


class Steady:
    """A device that had trouble once."""

    troubles = 1


class Failing:
    """A device that has had more trouble whenever it is asked."""

    def __init__(self) -> None:
        self._counts = count()

    @property
    def troubles(self) -> int:
        return next(self._counts)


def endless() -> None:
    while True:
        time.sleep(0.01)


@pytest.mark.parametrize("device", [None, Steady()])
def test_a_kernel_that_takes_too_long(device: object) -> None:
    """It has a timeout, whatever trouble the device had before."""
    with pytest.raises(Objection, match=r"the check took longer than 0\.1 s") as raised:
        within(0.1, endless, "the check", device)
    assert raised.value.verdict is Verdict.TIMEOUT


def test_a_device_in_trouble_takes_the_blame() -> None:
    """Time that passed while the device had trouble of its own is held against no kernel."""
    with pytest.raises(DeviceError, match="trouble of the device's own"):
        within(0.1, endless, "the check", Failing())
