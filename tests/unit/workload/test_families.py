"""The families that input data come from."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipopt.judge.seeds import fresh_seeds
from hipopt.records import FAMILIES, Buffer, DType, Family, Workload
from hipopt.workload.fill import family_of, fill_buffer, fill_workload, numpy_dtype, poison_of

FLOATS = ("float16", "bfloat16", "float32", "float64")


def _filled(family: Family, seed: int = 0, **what: object) -> np.ndarray:
    buffer = Buffer(name="x", **{"buffer": "float32", "length": 4000, "fill": "normal"} | what)  # type: ignore[arg-type]
    return fill_buffer(buffer, np.random.default_rng(seed), family)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("fill", ["normal", "uniform", "index", "sorted"])
@pytest.mark.parametrize("dtype", get_args(DType))
def test_every_family_fills_every_type(family: Family, fill: str, dtype: DType) -> None:
    """Each gives finite values of the type, with no warning, and the same for the same seed."""
    what = {"buffer": dtype, "fill": fill, "length": 500, "below": 100}
    content = _filled(family, **what)
    assert content.dtype == numpy_dtype(dtype)
    assert content.shape == (500,)
    assert np.isfinite(content.astype(np.float64)).all()
    assert np.array_equal(content, _filled(family, **what))


_LOWS = st.floats(-1e4, 1e4).map(lambda v: float(np.float32(v)))


@settings(deadline=None)
@given(
    st.sampled_from(FAMILIES), st.sampled_from([*FLOATS, "int8", "int32", "uint64", "int64"]),
    _LOWS, st.floats(0.25, 1e4), st.sampled_from(["uniform", "sorted"]), st.integers(0, 1000),
)  # fmt: skip
def test_every_family_stays_in_the_declared_range(
    family: Family, dtype: DType, low: float, width: float, fill: str, seed: int
) -> None:
    """From `low` up to below `high`, in order where sorted, whatever the range and the type."""
    high = low + width
    if dtype in {"bfloat16", "float16"}:  # ends that the type holds, some steps apart
        low, high = (
            float(np.asarray(v).astype(numpy_dtype(dtype))) for v in (low, low + 100 + abs(low))
        )
    elif dtype not in FLOATS:
        low, high = (
            (0.0, 100.0) if dtype == "int8" else (np.floor(abs(low)), np.floor(abs(low)) + 7)
        )
    buffer = Buffer(name="x", buffer=dtype, length=200, fill=fill, low=low, high=high)  # type: ignore[arg-type]
    content = fill_buffer(buffer, np.random.default_rng(seed), family)
    values = content.astype(np.float64)
    assert values.min() >= low
    assert values.max() < high
    assert fill == "uniform" or (np.diff(values) >= 0).all()


@given(st.sampled_from(FAMILIES), st.integers(1, 2**32 - 1), st.integers(0, 1000))
def test_indices_stay_indices_in_every_family(family: Family, below: int, seed: int) -> None:
    """An index is at least 0 and below its bound, up to the largest of its type."""
    content = _filled(family, seed, buffer="uint32", fill="index", below=below, length=100)
    assert int(content.max()) < below


def test_wide_data_reach_over_many_binades_with_both_signs() -> None:
    """The largest magnitude is over a billion times the smallest, evenly on the way."""
    content = _filled("wide")[1:-1]
    exponents = np.floor(np.log2(np.abs(content)))
    assert exponents.max() - exponents.min() >= 30
    assert np.histogram(exponents, 6)[0].min() > 400
    assert 0.4 < np.mean(content > 0) < 0.6


@pytest.mark.parametrize("fill", ["normal", "uniform"])
@pytest.mark.parametrize("bounds", [(None, None), (0.0, 10.0), (-6.0, -5.0), (0.25, 10.0)])
def test_sums_of_whole_data_are_exact_in_any_order(
    fill: str, bounds: tuple[float | None, float | None]
) -> None:
    """Small multiples of one power of two: float32 sums them forward and backward alike."""
    content = _filled("whole", fill=fill, low=bounds[0], high=bounds[1])
    forward = np.add.accumulate(content)[-1]
    assert forward == np.add.accumulate(content[::-1])[-1] == content.astype(np.float64).sum()
    assert len(set(content.tolist())) > 3


@pytest.mark.parametrize("fill", ["normal", "uniform"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64", "int32", "uint8"])
def test_the_last_element_is_the_greatest_of_wide_and_the_least_of_whole_data(
    fill: str, dtype: DType
) -> None:
    """And the first the other way round: a kernel that leaves out an end loses a maximum."""
    wide = _filled("wide", fill=fill, buffer=dtype).astype(np.float64)
    whole = _filled("whole", fill=fill, buffer=dtype).astype(np.float64)
    assert wide[-1] == wide.max() > wide.min() == wide[0]
    assert whole[-1] == whole.min() < whole.max() == whole[0]


def test_extreme_data_hold_zeros_of_both_signs_ends_and_repeats() -> None:
    """Half of the elements are few values; the others are as ever."""
    content = _filled("extreme")
    zeros = content[content == 0]
    assert 0 < np.signbit(zeros).sum() < zeros.size
    values, counts = np.unique(content, return_counts=True)
    assert counts[counts > 100].sum() > 1800
    assert values.size > 1500
    bounded = _filled("extreme", fill="uniform", low=5.0, high=30.0)
    assert bounded.min() == 5.0
    assert bounded.max() == np.nextafter(np.float32(30), np.float32(0))


@given(st.integers(4, 12))
def test_fresh_seeds_cover_families_and_poisons(checks: int) -> None:
    """From four seeds on every family is checked, and both poisons."""
    *drawn, timed = fresh_seeds(checks)
    assert {family_of(seed) for seed in drawn} == set(FAMILIES)
    assert len({poison_of(seed) for seed in drawn}) == 2
    assert family_of(timed) in FAMILIES
    assert len({*drawn, timed}) == checks + 1


def test_timing_data_are_of_any_family() -> None:
    """The last seed's family varies, so that data don't tell a check from a timing."""
    assert {family_of(fresh_seeds(4)[-1]) for _ in range(100)} == set(FAMILIES)


def test_a_seed_alone_determines_the_data() -> None:
    """A recorded seed gives its family's data again."""
    argument = {"buffer": "float32", "length": 64, "fill": "normal"}
    workload = Workload.from_json({"grid": [1], "block": [64], "args": [argument]})
    for seed in fresh_seeds(4):
        again = fill_workload(workload, seed, family_of(seed))
        assert np.array_equal(fill_workload(workload, seed)[0], again[0])


@pytest.mark.parametrize("fill", ["normal", "uniform"])
def test_many_equal_values_are_summed_without_error(fill: str) -> None:
    """In the extreme family's stretch of one value, a plain loop and a tree give the same sum."""
    for seed in range(50):
        content = _filled("extreme", seed, fill=fill)
        starts = np.flatnonzero(np.diff(content, prepend=np.nan) != 0)
        longest = int(np.argmax(np.diff(starts, append=content.size)))
        stretch = content[starts[longest] : starts[longest] + 900]
        assert stretch.size == 900
        assert np.unique(stretch).size == 1
        assert np.cumsum(stretch)[-1] == np.float64(stretch[0]) * stretch.size
