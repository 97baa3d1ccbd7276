"""The physical floor: no kernel is done before the bytes it must write could have moved."""

from __future__ import annotations

import numpy as np

from hipopt.device.interface import DeviceDescription
from hipopt.judge.execution import Arrays
from hipopt.judge.objection import Objection
from hipopt.records import Verdict

_BYTES_PER_US = 1000
"""Of one GB/s."""


def check_possible(
    device: DeviceDescription, must_move: int, reference_us: float, candidate_us: float
) -> None:
    """Returns where the candidate's time is one that the device can reach.

    Where the reference is below the floor too, the floor is wrong, and says nothing.

    Args:
        device: whose `peak_bandwidth_gb_s` counts; None: there is no floor.
        must_move: bytes that every correct kernel moves (see `bytes_changed`).
        reference_us: time of a launch of the reference.
        candidate_us: time of a launch of the candidate.

    Raises:
        Objection: with `rejected`.
    """
    if device.peak_bandwidth_gb_s is None:
        return
    least_us = must_move / (device.peak_bandwidth_gb_s * _BYTES_PER_US)
    if candidate_us < least_us <= reference_us:
        raise Objection(
            Verdict.REJECTED,
            f"a launch took {candidate_us:.3g} us, but the {must_move} bytes that it must write "
            f"take {least_us:.3g} us at the device's peak bandwidth: it does its work elsewhere",
        )


def bytes_changed(before: Arrays, after: Arrays) -> int:
    """Bytes of the elements that differ: a correct kernel writes at least these."""
    return sum(
        int(np.count_nonzero(_bits(b) != _bits(a))) * b.itemsize
        for b, a in zip(before, after, strict=True)
    )


def _bits(array: np.ndarray) -> np.ndarray:
    return array.view(np.dtype(f"u{array.dtype.itemsize}"))
