from hypothesis import given
from hypothesis import strategies as st

from hipopt.logline import LogLine
from hipopt.shards import plan_shards
from hipopt.todo import Todo


def todo(count: int, shards: int = 2, chosen: tuple[int, ...] = (0, 1)) -> Todo:
    ids = range(count)
    return Todo(ids, plan_shards(ids, shards), chosen)


def test_rooms_keep_to_the_window() -> None:
    """A shard is refilled to its share once it is down to half of it, and not before."""
    found = todo(20)
    rooms = found.rooms(4)
    assert rooms == {0: 4, 1: 4}
    assert [i for i in range(20) if found.take(i, rooms)] == [0, 1, 2, 3, 10, 11, 12, 13]
    assert found.rooms(4) == {}
    found.settle([LogLine(i, "success") for i in (0, 1)])
    assert found.rooms(4) == {0: 2}
    assert found.rooms(None) == {0: 6, 1: 6}


def test_only_chosen_shards_count() -> None:
    """A dispatch of one shard neither sends nor counts the others."""
    found = todo(20, chosen=(1,))
    assert (found.total, found.unfinished) == (10, 10)
    assert found.settle([LogLine(0, "success"), LogLine(10, "failure"), LogLine("x", "failure")])
    assert (found.done, found.succeeded, found.unfinished) == (1, 0, 9)


def test_a_limit_leaves_the_first_kernels() -> None:
    """The limit holds across shards, and what is done already is not counted against it."""
    found = todo(20)
    found.settle([LogLine(0, "success")])
    found.keep(12)
    rooms = found.rooms(None)
    assert [i for i in range(20) if found.take(i, rooms)] == [*range(1, 10), 10, 11, 12]


def test_a_retried_kernel_is_settled_by_its_new_row() -> None:
    """The row that is to be superseded settles nothing, even if it is read again."""
    found = todo(4)
    found.retries[1] = 1
    assert found.settle([LogLine(1, "failure"), LogLine(2, "success")]) == 1
    assert found.settle([LogLine(1, "failure", retry=1)]) == 1
    assert found.done == 2


@given(st.lists(st.tuples(st.sampled_from(["take", "back", "done", "up"]), st.integers(0, 9))))
def test_every_kernel_is_in_one_place(steps: list[tuple[str, int]]) -> None:
    """Whatever happens in whatever order, no kernel is lost or counted twice."""
    found = todo(10)
    for step, kernel in steps:
        if step == "take":
            found.take(kernel, {0: 1, 1: 1})
        elif kernel in set(found.sent()):
            if step == "back":
                found.take_back(kernel)
            elif step == "up":
                found.give_up(kernel)
        if step == "done":
            found.settle([LogLine(kernel, "success")])
        assert found.waiting + found.on_their_way + found.done + found.given_up == 10
