"""What varies beyond what a workload declares."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipopt.records import FAMILIES, Buffer, Family, Scalar, Workload
from hipopt.workload.fill import fill_workload
from hipopt.workload.freedom import Freedom, buffer_choices, factor_choices


def _workload(*args: Buffer | Scalar) -> Workload:
    return Workload(grid=(1, 1, 1), block=(64, 1, 1), args=args)


def _buffer(**what: Any) -> Buffer:
    return Buffer(**{"name": "x", "buffer": "float32", "length": 100} | what)


def _scalar(value: float) -> Scalar:
    return Scalar(name="a", scalar="float32", value=value)


@pytest.mark.parametrize(
    "what",
    [
        {"fill": "uniform", "low": 0.0, "high": 1.0},
        {"fill": "uniform", "low": 0.0},
        {"fill": "normal"},
        {"fill": "index", "buffer": "int32"},
        {"fill": "sorted", "buffer": "int32"},
    ],
)
def test_what_is_declared_stays(what: dict[str, Any]) -> None:
    """A range, an order and valid indices are what the kernel may count on."""
    assert not buffer_choices(_workload(_buffer(**what)), [False], [False], "wide")


@pytest.mark.parametrize("fill", ["ones", "zeros", "uniform"])
def test_constants_and_undeclared_ranges_become_data_of_both_signs(fill: str) -> None:
    """No candidate can know them by heart, and the freest fill holds both signs."""
    workload = _workload(_buffer(fill=fill))
    choices = buffer_choices(workload, [False], [False], "extreme")
    freed = Freedom(buffers={0: choices[0][0]}).launch(workload, 1, "extreme")
    content = fill_workload(freed, 1, "extreme")[0]
    assert content.min() < 0 < content.max()


def test_integer_constants_stay_flags_and_counted_ones_stay_sorted() -> None:
    """Zeros and ones mix; 0, 1, 2, ... become other valid offsets in order."""
    workload = _workload(_buffer(buffer="int32", fill="ones"), _buffer(buffer="int32", fill="iota"))
    choices = buffer_choices(workload, [False, False], [False, False], "whole")
    freed = Freedom(buffers={index: c[0] for index, c in choices.items()})
    flags, offsets = fill_workload(freed.launch(workload, 3, "whole"), 3, "whole")
    assert set(flags.tolist()) == {0, 1}
    assert (np.diff(offsets) >= 0).all()
    assert 0 <= offsets.min() <= offsets.max() < 100


def test_outputs_and_counters_start_as_declared() -> None:
    """What is poisoned anyhow is not filled, and integers that the kernel changes may be locks."""
    counter = _workload(_buffer(buffer="int32", fill="zeros"))
    assert not buffer_choices(counter, [True], [False], "whole")
    assert not buffer_choices(_workload(_buffer(fill="zeros")), [True], [True], "whole")
    added_to = _workload(_buffer(fill="zeros"))
    assert buffer_choices(added_to, [True], [False], "whole")
    assert not buffer_choices(added_to, [True], [False], "wide")


_VALUES = st.floats(-1e6, 1e6).filter(lambda v: v == 0 or abs(v) > 1e-6)


@given(
    st.lists(_VALUES, min_size=1, max_size=4),
    st.sampled_from(FAMILIES), st.integers(0, 1000),
)  # fmt: skip
def test_scalars_keep_their_order_and_side_of_one(
    values: list[float], family: Family, seed: int
) -> None:
    """Limits don't cross, and what is a share of something stays one."""
    workload = _workload(*map(_scalar, values))
    for factors in factor_choices(workload, family):
        varied = Freedom(factors=factors).launch(workload, seed, family)
        drawn = [a.value for a in varied.args if isinstance(a, Scalar)]
        assert drawn == [
            a.value for a in Freedom(factors=factors).launch(workload, seed, family).args
            if isinstance(a, Scalar)
        ]  # fmt: skip
        if len(values) > 1:
            assert all(
                (a <= b) for a, u in zip(drawn, values, strict=True)
                for b, v in zip(drawn, values, strict=True) if u < v
            )  # fmt: skip
        if factors.high - factors.low > 0.1:
            assert all(
                abs(d) <= 1 + 1e-9 for d, v in zip(drawn, values, strict=True) if 0 < abs(v) <= 1
            )


def test_a_single_scalar_changes_its_sign() -> None:
    """Over wide and extreme data, unless it is tiny."""
    workload = _workload(_scalar(2.0))
    freedom = Freedom(factors=factor_choices(workload, "wide")[0])
    drawn = [freedom.launch(workload, seed, "wide").args[0] for seed in range(40)]
    signs = {scalar.value > 0 for scalar in drawn if isinstance(scalar, Scalar)}
    assert signs == {True, False}
    tiny = factor_choices(_workload(_scalar(1e-5)), "wide")
    assert not any(factors.signed for factors in tiny)


def test_integers_and_infinities_stay() -> None:
    """They are sizes, or stand for no bound."""
    size = Scalar(name="n", scalar="int32", value=100)
    assert not factor_choices(_workload(size, _scalar(3e38), _scalar(float("inf"))), "wide")
