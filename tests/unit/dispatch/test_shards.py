import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipopt.dispatch.shards import keep_plan, order, plan_shards
from hipopt.records import KernelId

ids = st.lists(
    st.one_of(st.integers(), st.text(max_size=5)), min_size=1, max_size=60, unique_by=order
)


@given(ids=ids, shards=st.integers(1, 80))
def test_every_id_lies_in_the_shard_that_counts_it(ids: list[KernelId], shards: int) -> None:
    """The ranges are contiguous, in order, never empty, and their counts differ by one at most."""
    plan = plan_shards(ids, shards)
    counts = [shard.count for shard in plan.shards]
    assert len(counts) == min(shards, len(ids))
    assert sum(counts) == len(ids)
    assert max(counts) - min(counts) <= 1
    numbers = [plan.shard_of(i) for i in sorted(ids, key=order)]
    assert numbers == sorted(numbers)
    assert [numbers.count(shard.number) for shard in plan.shards] == counts


@given(ids=ids, shards=st.integers(1, 9), data=st.data())
def test_the_order_of_the_rows_does_not_matter(
    ids: list[KernelId], shards: int, data: st.DataObject
) -> None:
    """The plan is a function of the set of ids."""
    assert plan_shards(data.draw(st.permutations(ids)), shards) == plan_shards(ids, shards)


def test_numbers_come_before_strings() -> None:
    """Ids sort as numbers by value, then strings; 1 and "1" are different kernels."""
    plan = plan_shards(["10", "9", 10, 9, "1", 1], 2)
    assert [(s.first_id, s.last_id) for s in plan.shards] == [(1, 10), ("1", "9")]


@given(ids=ids, other=st.one_of(st.integers(), st.text(max_size=5)))
def test_a_strange_id_has_a_shard_too(ids: list[KernelId], other: KernelId) -> None:
    """An id that is not in the manifest lies in some shard and raises nothing."""
    plan = plan_shards(ids, 4)
    assert 0 <= plan.shard_of(other) < len(plan.shards)


@pytest.mark.parametrize(("ids", "shards"), [([], 1), ([1], 0)])
def test_nothing_to_cut(ids: list[KernelId], shards: int) -> None:
    """No ids and no shards are errors of the caller."""
    with pytest.raises(ValueError, match="can't cut"):
        plan_shards(ids, shards)


@given(
    ids=st.lists(st.integers(0, 10**6), min_size=8, max_size=60, unique=True), four=st.booleans()
)
def test_rows_added_at_the_end_leave_the_others_in_their_shards(ids: list[int], four: bool) -> None:
    """By the earlier plan every kernel keeps its shard; the new ones lie in the last."""
    count = 4 if four else 3
    earlier = plan_shards(ids, count)
    added = [10**6 + 1, 10**6 + 2]
    kept = keep_plan(earlier, [*ids, *added], count)
    assert kept is not None
    assert all(kept.shard_of(i) == earlier.shard_of(i) for i in ids)
    assert all(kept.shard_of(i) == count - 1 for i in added)
    assert sum(shard.count for shard in kept.shards) == len(ids) + 2


def test_a_plan_that_grew_uneven_is_made_anew() -> None:
    """Another number of shards, an empty shard or one of more than twice its share: no plan."""
    earlier = plan_shards(range(100), 4)
    assert keep_plan(earlier, range(130), 4) is not None
    assert keep_plan(earlier, range(300), 4) is None
    assert keep_plan(earlier, range(40, 100), 4) is None
    assert keep_plan(earlier, range(100), 5) is None
