"""The comparison that verdicts rest on."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipopt.judge.compare import difference
from hipopt.workload.fill import POISONS, poisoned


def _floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_equal_results_agree() -> None:
    """What is equal to the bit is no difference, NaN and infinity included."""
    values = _floats(1.0, np.nan, np.inf, -0.0)
    zeros = np.zeros_like(values)
    assert difference("float32", zeros, values, values.copy(), poisoned=False) is None


@pytest.mark.parametrize(
    ("expected", "actual"),
    [(np.nan, 1.0), (1.0, np.nan), (np.inf, -np.inf), (np.inf, 3e38), (1.0, np.inf)],
)
def test_nan_and_infinity_match_in_place_and_sign(expected: float, actual: float) -> None:
    """Neither a NaN nor an infinity stands for anything else."""
    before = _floats(0, 0)
    found = difference("float32", before, _floats(2, expected), _floats(2, actual), poisoned=False)
    assert found is not None
    assert found.first_index == 1
    assert found.wrong == 1


def test_rounding_is_allowed_and_a_lost_digit_is_not() -> None:
    """One unit in the last place agrees; one part in a thousand does not."""
    before, expected = _floats(0, 0), _floats(1.0, 2.0)
    near = np.nextafter(expected, np.float32(9))
    assert difference("float32", before, expected, near, poisoned=False) is None
    far = difference("float32", before, expected, expected * np.float32(1.001), poisoned=False)
    assert far is not None
    assert far.wrong == 2
    assert far.max_abs_error == pytest.approx(0.002, rel=1e-3)


def test_integers_are_exact() -> None:
    """An integer that is off by one in 64 bits is wrong, though no float64 could tell."""
    expected = np.array([2**60], np.int64)
    found = difference("int64", np.zeros(1, np.int64), expected, expected + 1, poisoned=False)
    assert found is not None
    assert found.expected == str(2**60)


def test_poison_must_stay_where_the_reference_wrote_nothing() -> None:
    """A candidate that writes more than the reference is wrong, however small the value."""
    before = poisoned(np.zeros(3, np.float32), POISONS[0])
    expected = before.copy()
    expected[0] = 1.0
    actual = expected.copy()
    actual[2] = np.nextafter(before[2], np.float32(0))
    found = difference("float32", before, expected, actual, poisoned=True)
    assert found is not None
    assert found.first_index == 2


def test_unwritten_output_is_wrong_beside_tiny_results() -> None:
    """Poison left in an output is far from any result, and does not widen the tolerance."""
    before = poisoned(np.zeros(4, np.float32), POISONS[0])
    expected = before.copy()
    expected[:2] = 1e-30
    for byte in POISONS:
        actual = expected.copy()
        actual[0] = poisoned(np.zeros(1, np.float32), byte)[0]
        assert difference("float32", before, expected, actual, poisoned=True) is not None


def test_an_input_that_was_written_is_a_difference() -> None:
    """A buffer that the reference leaves alone may not change by a single bit."""
    before = _floats(1, 2, 3)
    actual = np.nextafter(before, np.float32(9))
    assert difference("float32", before, before, actual, poisoned=False) is not None


def test_shapes_never_broadcast() -> None:
    """Arrays of other shapes are our mistake, never equal."""
    with pytest.raises(ValueError, match="is not"):
        difference("float32", _floats(1, 1), _floats(1, 1), _floats(1), poisoned=False)


def test_bfloat16_rounds_coarsely() -> None:
    """One unit in the last place of bfloat16 agrees; four don't."""
    bf16 = ml_dtypes.bfloat16
    before, expected = np.zeros(1, bf16), np.array([1.0], bf16)
    assert (
        difference("bfloat16", before, expected, np.array([1.0078], bf16), poisoned=False) is None
    )
    assert difference("bfloat16", before, expected, np.array([1.05], bf16), poisoned=False)


@given(st.lists(st.floats(width=32), min_size=1, max_size=50), st.integers(0, 49))
def test_any_gross_change_is_found(values: list[float], index: int) -> None:
    """Whatever the results are, flipping the sign bit of a large one is a difference there."""
    expected = np.array([*values, 1e10], np.float32)
    index %= expected.size
    if not abs(expected[index]) >= 1e9:
        index = expected.size - 1
    actual = expected.copy()
    actual.view(np.uint32)[index] ^= 1 << 31
    with np.errstate(over="ignore"):
        found = difference("float32", np.zeros_like(expected), expected, actual, poisoned=False)
    scale = float(np.nanmax(np.abs(np.where(np.isfinite(expected), expected, 0))))
    if scale < 1e13:
        assert found is not None
        assert found.first_index == index
