"""What candidates that leave work undone would leave in the buffers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hipopt.judge.nulls import idle, unfinished
from hipopt.judge.qualified import Qualified
from hipopt.records import FAMILIES, Workload
from hipopt.workload.fill import family_of, fill_workload


def _workload(length: int, blocks: int = 4) -> Workload:
    names = [{"name": n, "buffer": "float32", "length": length, "fill": "normal"} for n in "xy"]
    return Workload.from_json({"grid": [blocks], "block": [64], "args": names})


def _launch(length: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Buffers before and after a kernel that negates x into y, all but y's first element."""
    before = fill_workload(_workload(length), 0)
    after = [before[0], np.concatenate([before[1][:1], -before[0][1:]])]
    return before, after


def test_idle_candidates_leave_inputs_alone() -> None:
    """Only what the reference writes is replaced by zeros, ones or a copy."""
    before, after = _launch(50)
    nulls = list(idle(before, after))
    assert {name for name, _ in nulls} == {
        "does nothing", "writes zeros", "writes ones", "copies an input",
    }  # fmt: skip
    for _, (x, y) in nulls:
        assert np.array_equal(x, before[0])
        assert not np.array_equal(y, after[1])


@given(st.integers(2, 300), st.integers(1, 9))
def test_an_unfinished_buffer_lacks_just_its_end(length: int, blocks: int) -> None:
    """The last written element, and the last block's share, are as they were; the rest is done."""
    before, after = _launch(length)
    nulls = dict(unfinished(_workload(length, blocks), before, after))
    last = nulls["leaves the last element of 'y' undone"][1]
    assert last[-1] == before[1][-1]
    assert np.array_equal(last[:-1], after[1][:-1])
    share = nulls["leaves the last block's share of 'y' undone"][1]
    undone = int((share != after[1]).sum())
    assert undone == -(-(length - 1) // blocks)
    assert not any("'x'" in name for name in nulls)


def test_a_seed_of_a_family_that_does_not_count_draws_ordinary_data() -> None:
    """Every seed gives a check on every workload."""
    workload = _workload(20)
    qualified = Qualified(workload=workload, outputs=(False, False), families=("ordinary",))
    for seed in range(2 * len(FAMILIES)):
        assert qualified.family(seed) == "ordinary"
        for was, wanted in zip(
            qualified.contents(seed), fill_workload(workload, seed, "ordinary"), strict=True
        ):
            assert np.array_equal(was, wanted)
    everything = Qualified(workload=workload, outputs=(False, False))
    assert [everything.family(seed) for seed in range(8)] == [family_of(s) for s in range(8)]


def test_the_two_poisons_take_turns() -> None:
    """Outputs hold the one or the other, by the seed alone."""
    qualified = Qualified(workload=_workload(4), outputs=(False, True))
    first, second = (qualified.contents(seed)[1].view(np.uint8) for seed in (0, 1))
    assert set(first) == {0x7B}
    assert set(second) == {0xFB}
