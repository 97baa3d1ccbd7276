"""What goes into buffers."""

from typing import get_args

import numpy as np
import pytest

from hipopt.records import Buffer, DType, Fill, Workload
from hipopt.workload.fill import POISONS, fill_buffer, fill_workload, numpy_dtype, poisoned


@pytest.mark.parametrize("fill", get_args(Fill))
@pytest.mark.parametrize("dtype", get_args(DType))
def test_every_fill_works_for_every_type(fill: Fill, dtype: DType) -> None:
    """A fill gives `length` elements of the type, finite, with no warning."""
    buffer = Buffer(name="x", buffer=dtype, length=100, fill=fill)
    content = fill_buffer(buffer, np.random.default_rng(0))
    assert content.shape == (100,)
    assert content.dtype == numpy_dtype(dtype)
    assert np.isfinite(content.astype(np.float64)).all()


def test_index_stays_below_its_bound() -> None:
    """`index` holds integers from 0 to below `below`, and reaches most of them."""
    buffer = Buffer(name="i", buffer="int32", length=1000, fill="index", below=7)
    assert set(fill_buffer(buffer, np.random.default_rng(0))) == set(range(7))


def test_uniform_stays_within_low_and_high() -> None:
    """`uniform` respects `low` and `high`; `sorted` does so in order."""
    for fill in ("uniform", "sorted"):
        buffer = Buffer(name="x", buffer="float64", length=500, fill=fill, low=-3, high=-2)
        content = fill_buffer(buffer, np.random.default_rng(0))
        assert content.min() >= -3
        assert content.max() < -2
        assert fill == "uniform" or (np.diff(content) >= 0).all()


def test_a_seed_repeats_and_another_differs() -> None:
    """The same seed gives the same content, another seed other content, each buffer its own."""
    argument = {"buffer": "float32", "length": 64, "fill": "normal"}
    workload = Workload.from_json({"grid": [1], "block": [64], "args": [argument, argument]})
    first, second = fill_workload(workload, 1)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, fill_workload(workload, 1)[0])
    assert not np.array_equal(first, fill_workload(workload, 2)[0])


def test_poison_is_large_and_finite_in_every_float_type() -> None:
    """No kernel computes it by accident, and it equals itself."""
    for name in ("float16", "bfloat16", "float32", "float64"):
        for byte in POISONS:
            values = poisoned(np.zeros(3, numpy_dtype(name)), byte).astype(np.float64)
            assert np.isfinite(values).all()
            assert (np.abs(values) > 1e4).all()
