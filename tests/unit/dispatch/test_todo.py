from hypothesis import given
from hypothesis import strategies as st

from hipopt.dispatch.shards import plan_shards
from hipopt.dispatch.todo import Todo
from hipopt.ids import Ids
from hipopt.log.line import LogLine


def todo(count: int, shards: int = 2, chosen: tuple[int, ...] = (0, 1)) -> Todo:
    ids = Ids(range(count))
    return Todo(ids, plan_shards(ids, shards), chosen)


def taken(found: Todo, rooms: dict[int, int]) -> list[int]:
    return [rank for shard, room in rooms.items() for rank in found.take(shard, room)]


def test_rooms_keep_to_the_window() -> None:
    """A shard is refilled to its share once it is down to half of it, and not before."""
    found = todo(20)
    rooms = found.rooms(4)
    assert rooms == {0: 4, 1: 4}
    assert taken(found, rooms) == [0, 1, 2, 3, 10, 11, 12, 13]
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
    assert taken(found, rooms) == [*range(1, 10), 10, 11, 12]


def test_a_retried_kernel_is_settled_by_its_new_row() -> None:
    """The row that is to be superseded settles nothing, even if it is read again."""
    found = todo(4)
    found.retries[1] = 1
    assert found.settle([LogLine(1, "failure"), LogLine(2, "success")]) == 1
    assert found.settle([LogLine(1, "failure", retry=1)]) == 1
    assert found.done == 2


def test_a_failure_is_done_again_and_counts_anew() -> None:
    """A kernel that is done again waits; its new row takes the place of the old in the counts."""
    found = todo(4)
    found.settle([LogLine(0, "failure"), LogLine(1, "success")])
    assert found.do_again({0: 1, 3: 1, "x": 1}) == 1
    assert (found.done, found.waiting) == (1, 3)
    assert taken(found, {0: 1}) == [0]
    found.settle([LogLine(0, "success", retry=1)])
    assert (found.done, found.succeeded, found.on_their_way) == (2, 2, 0)


def test_what_is_taken_back_goes_first() -> None:
    """A kernel that fell through is the next of its shard to be sent."""
    found = todo(6, shards=1, chosen=(0,))
    assert taken(found, {0: 4}) == [0, 1, 2, 3]
    found.take_back(1)
    found.mark_sent(4)
    assert taken(found, {0: 3}) == [1, 5]


@given(st.lists(st.tuples(st.sampled_from(["take", "back", "done", "up"]), st.integers(0, 9))))
def test_every_kernel_is_in_one_place(steps: list[tuple[str, int]]) -> None:
    """Whatever happens in whatever order, no kernel is lost or counted twice."""
    found = todo(10)
    for step, kernel in steps:
        if step == "take":
            assert len(list(found.take(kernel % 2, 1))) <= 1
            assert found.on_their_way == len(list(found.sent()))
        elif kernel in set(found.sent()):
            if step == "back":
                found.take_back(kernel)
            elif step == "up":
                found.give_up(kernel)
        if step == "done":
            found.settle([LogLine(kernel, "success")])
        assert found.waiting + found.on_their_way + found.done + found.given_up == 10
