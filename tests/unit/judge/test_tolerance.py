"""How far a candidate may be from the reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hipopt.judge.compare import difference
from hipopt.judge.tolerance import BACKWARD, SAFETY, Spread, from_spread, is_lost, least, widest

FINITE = st.floats(-1e30, 1e30)
BUFFERS = hnp.arrays(np.float64, st.integers(1, 30), elements=FINITE)


def _spread(
    rounding: np.ndarray, order: np.ndarray | None = None, inputs: np.ndarray | None = None
) -> Spread:
    zero = np.zeros_like(rounding)
    return Spread(rounding, zero if order is None else order, zero if inputs is None else inputs)


@given(BUFFERS, st.floats(0, 1e30), st.data())
def test_tolerance_stays_between_least_and_widest(
    expected: np.ndarray, scale: float, data: st.DataObject
) -> None:
    """Whatever rounding does, no tolerance leaves its type's bounds, unless it is exact."""
    moved = data.draw(
        hnp.arrays(np.float64, expected.shape, elements=st.floats(0, 1e30, allow_infinity=False))
    )
    allowed = from_spread("float32", expected, _spread(moved), scale)
    exact = not moved.any() and (np.rint(expected) == expected).all()
    assert exact == (not allowed.any()) or not expected.any()
    if not exact:
        assert (allowed >= least("float32", expected, scale)).all()
        assert (allowed <= widest("float32", expected, scale)).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_least_tolerance_is_below_the_widest(dtype: str) -> None:
    """And both are above one unit in the last place."""
    values = np.array([1.0, -3.0, 1000.0])
    ulp = {"float16": 2**-10, "bfloat16": 2**-7, "float32": 2**-23, "float64": 2**-52}[dtype]
    assert (least(dtype, values) > ulp * np.abs(values)).all()  # type: ignore[arg-type]
    assert (least(dtype, values) < widest(dtype, values)).all()  # type: ignore[arg-type]


def test_spread_widens_an_elements_tolerance_by_the_safety_factor() -> None:
    """Between the bounds, an element may be off by four times what rounding moves it."""
    expected = np.array([1.5, 2.5, 3.5, 4.5, 5.5])
    moved = np.array([0, 0, 1e-5, 0, 0])
    allowed = from_spread("float32", expected, _spread(moved))
    assert allowed[2] == pytest.approx(SAFETY * 1e-5)


def test_one_lucky_element_shares_its_neighbours_spread() -> None:
    """An element that no rounding mode moved is granted what its like are."""
    expected = np.linspace(1.1, 2.1, 100)
    moved = 1e-5 * expected
    moved[90] = 0
    allowed = from_spread("float32", expected, _spread(moved))
    assert allowed[90] == pytest.approx(SAFETY * 1e-5 * expected[90], rel=1e-6)


def test_sums_of_like_terms_share_their_spread() -> None:
    """A sum that came out near zero, unmoved by luck, is granted what the middle one moves by."""
    expected = np.linspace(1.1, 2.1, 101)
    moved = np.full(101, 1e-6)
    expected[7], moved[7] = 1e-9, 0
    allowed = from_spread("float32", expected, _spread(moved))
    assert allowed[7] >= SAFETY * 1e-6


def test_what_is_small_beside_a_few_large_results_is_not_taken_for_zero() -> None:
    """Results over many magnitudes, each as exact as the others, are compared by their own."""
    expected = np.exp(np.linspace(-15, 15, 1000))
    allowed = from_spread("float32", expected, _spread(1e-6 * expected))
    small = (expected > 1e-4) & (expected < 0.02)
    assert (allowed[small] < expected[small]).all()


def test_what_a_wider_type_hides_is_granted_by_the_larger_results() -> None:
    """What cancels in double, and is exact there, a narrower type computes from larger terms."""
    expected = np.array([1e-7, *np.linspace(-1, 1, 99)])
    allowed = from_spread("float32", expected, _spread(2.0**-25 * np.abs(expected)))
    assert allowed[0] > 1e-6


def test_unmoved_integers_are_compared_exactly() -> None:
    """Float results that are integers and that no rounding moves: one unit off is wrong."""
    expected = np.array([3.0, -7.0, 1000.0], np.float32)
    actual = np.nextafter(expected, np.float32(9e9))
    before, still = np.zeros(3, np.float32), np.zeros(3)
    strict = difference(
        "float32", before, expected, actual, poisoned=False, spread=lambda: _spread(still)
    )
    assert strict is not None
    assert strict.wrong == 3
    assert strict.tolerance == 0
    moved = np.array([0, 0, 1e-6])
    assert not difference(
        "float32", before, expected, actual, poisoned=False, spread=lambda: _spread(moved)
    )


def test_what_order_moves_is_allowed_beyond_the_widest() -> None:
    """Where the reference's own atomics give other sums, a candidate's may be as far off."""
    expected, order = np.array([1.5]), np.array([0.01])
    assert from_spread("float32", expected, _spread(np.zeros(1), order))[0] == SAFETY * 0.01


def test_the_usual_scale_forgives_a_sum_that_came_out_near_zero() -> None:
    """A single small result is granted what results of its usual size would be."""
    expected, actual = np.array([1e-3], np.float32), np.array([1.0002e-3], np.float32)
    before = np.zeros(1, np.float32)
    assert difference("float32", before, expected, actual, poisoned=False) is not None
    assert difference("float32", before, expected, actual, poisoned=False, scale=1.0) is None


def test_the_spread_is_asked_for_only_where_it_decides() -> None:
    """It costs launches: results within the least tolerance never need it."""

    def never() -> Spread:
        raise AssertionError

    expected = np.array([1.5, 2.5], np.float32)
    actual = np.nextafter(expected, np.float32(9))
    before = np.zeros(2, np.float32)
    assert difference("float32", before, expected, actual, poisoned=False, spread=never) is None


def test_an_unknown_spread_leaves_the_types_table() -> None:
    """Where no microscope can tell, the widest tolerance of the type holds."""
    expected = np.array([1.5, 2.5], np.float32)
    before = np.zeros(2, np.float32)
    near, far = expected * np.float32(1 + 9e-5), expected * np.float32(1 + 3e-4)
    assert not difference("float32", before, expected, near, poisoned=False, spread=lambda: None)
    assert difference("float32", before, expected, far, poisoned=False, spread=lambda: None)


@given(hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(-100, 100, width=32)))
def test_results_in_half_precision_are_found(values: np.ndarray) -> None:
    """Even the widest tolerance tells float results from the same rounded to half."""
    expected = np.append(values, np.float32(100.09))  # as far from a half as a half's step allows
    narrowed = expected.astype(np.float16).astype(np.float32)
    before = np.zeros_like(expected)
    assert difference("float32", before, expected, narrowed, poisoned=False) is not None


def test_lost_is_where_the_reference_itself_would_be_wrong() -> None:
    """Results that rounding moves beyond the widest tolerance, and no others."""
    expected = np.array([1.0, 1.0])
    lost = is_lost("float32", expected, _spread(np.array([1e-3, 1e-6])), 1.0)
    assert lost.tolist() == [True, False]


def test_an_ill_conditioned_element_is_granted_what_its_inputs_units_do() -> None:
    """Beyond the widest tolerance, and where no rounding mode moved it; others keep theirs."""
    expected = np.linspace(1.1, 2.1, 100)
    off = np.full(100, 1e-8)
    off[7] = 1e-4
    allowed = from_spread("float32", expected, _spread(1e-6 * expected, inputs=off))
    assert allowed[7] == BACKWARD * 1e-4 > widest("float32", expected)[7]
    others = np.arange(100) != 7
    without = from_spread("float32", expected, _spread(1e-6 * expected))
    assert (allowed[others] == without[others]).all()


def test_where_inputs_units_show_no_bound_holds_for_rounding() -> None:
    """A long sum of equal terms moves further than single units of its inputs tell."""
    expected = np.linspace(1.1, 2.1, 100)
    moved, off = 1e-6 * expected, np.zeros(100)
    moved[[7, 8]], off[7] = 0.1, 1e-4
    allowed = from_spread("float32", expected, _spread(moved, inputs=off))
    assert allowed[7] == SAFETY * 0.1
    assert allowed[8] == widest("float32", expected)[8]


def test_rounding_that_ends_in_infinity_bounds_nothing() -> None:
    """Then the inputs' units alone are granted."""
    expected = np.linspace(1.1, 2.1, 100)
    moved, off = np.full(100, np.inf), np.full(100, 1e-4)
    allowed = from_spread("float32", expected, _spread(moved, inputs=off))
    assert (allowed == np.maximum(widest("float32", expected), BACKWARD * 1e-4)).all()
