"""What the trouble with one plan makes of those that come after it."""

from __future__ import annotations

from hipopt.records import Workload
from hipopt.source.usage import Usage
from hipopt.workload.plan import Content, Plan
from hipopt.workload.repairs import Repairs
from hipopt.workload.trace import Sight, Trouble

PLAN = Plan(
    template=(), block=(256, 1, 1), roles={"n": "X", "ld": "K"},
    contents={"at": Content("uniform", -40_000, 40_000), "x": Content("normal")},
)  # fmt: skip
FEW = Content("index", below="=100")


def sight(trouble: Trouble, reason: str) -> Sight:
    """A launch that went wrong."""
    launch = Workload(grid=(1, 1, 1), block=(256, 1, 1), args=())
    return Sight(launch, 0, 0, frozenset(), frozenset(), (), trouble, reason)


def waiting(repairs: Repairs) -> list[Plan]:
    """What is tried before PLAN's turn comes again."""
    *found, last = repairs.before(iter([PLAN]))
    assert last.roles == PLAN.roles
    return found


def test_integers_that_led_astray_become_small() -> None:
    """Floats stay; where the integers are small already, positive floats are tried."""
    repairs = Repairs(Usage())
    repairs.of_trouble(PLAN, sight("before", "it reaches 80 bytes before the start of 'y'"))
    (narrow,) = waiting(repairs)
    assert narrow.contents == {"at": FEW, "x": Content("normal")}
    repairs.of_trouble(narrow, sight("before", "it reaches 80 bytes before the start of 'y'"))
    (positive,) = waiting(repairs)
    assert positive.contents["x"].low is not None
    assert positive.contents["x"].low > 0


def test_floats_that_index_become_places() -> None:
    """They start at one, so that the place before is there too; other floats stay."""
    usage = Usage()
    usage.subscripts["y"].add("x")
    repairs = Repairs(usage)
    plan = PLAN._replace(contents={"x": Content("normal"), "w": Content("normal")})
    repairs.of_trouble(plan, sight("before", "it reaches 4 bytes before the start of 'y'"))
    (places,) = waiting(repairs)
    assert places.contents == {"x": Content("uniform", 1.0, 100.0), "w": Content("normal")}


def test_an_idle_launch_keeps_its_integers() -> None:
    """Where nothing is written nothing says that integers are to blame."""
    repairs = Repairs(Usage())
    repairs.of_trouble(PLAN, sight("idle", "it writes nothing"))
    assert waiting(repairs) == []


def test_a_launch_that_went_too_far_becomes_smaller() -> None:
    """With the same integers as before, made small, and with a few for every extent."""
    repairs = Repairs(Usage())
    repairs.of_trouble(PLAN, sight("beyond", "it reaches 39040492 bytes into 'y'"))
    narrow, small = waiting(repairs)
    assert narrow.roles == PLAN.roles
    assert small.roles == {"n": "F0", "ld": "F1"}
    assert small.contents["at"] == FEW


def test_patience_returns_once_smaller_launches_were_in_vain() -> None:
    """A launch that takes long is given up only while a smaller one would follow it."""
    repairs = Repairs(Usage())
    assert repairs.would_shrink(PLAN)
    assert not repairs.would_shrink(PLAN._replace(roles={"n": "X"}))
    for side in range(6):
        plan = PLAN._replace(block=(side + 1, 1, 1))
        repairs.of_trouble(plan, sight("slow", "it takes long to look at"))
    assert not repairs.would_shrink(PLAN)


def test_strides_grow_where_threads_met() -> None:
    """A stride that is no bound is made longer than any row."""
    usage = Usage()
    usage.strides["ld"].add(frozenset({"ty"}))
    usage.strides["n"].add(frozenset({"ty"}))
    usage.bounds["n"].add(frozenset({"tx", "bx"}))
    repairs = Repairs(usage)
    repairs.of_race(PLAN)
    (parted,) = waiting(repairs)
    assert parted.roles == {"n": "X", "ld": "XY"}


def test_steps_through_large_buffers_become_short() -> None:
    """What is no bound, then the plan as it was; without such steps nothing changes."""
    usage = Usage()
    usage.bounds["n"].add(frozenset({"tx", "bx"}))
    repairs = Repairs(usage)
    plan = PLAN._replace(roles={"n": "X", "step": "X", "offset": "=3"})
    dense = repairs.of_room(plan)
    assert dense is not None
    assert dense.roles == {"n": "X", "step": "K", "offset": "=3"}
    assert list(repairs.before(iter([]))) == [dense, plan]
    assert repairs.of_room(dense) is None


def test_a_block_that_overruns_again_and_again_is_replaced() -> None:
    """After a dozen overruns by one thread, later plans have only those before it."""
    repairs = Repairs(Usage())
    overrun = "the kernel went beyond the end of an array; line 3, thread (64,0,0) of block (0,0,0)"
    plan = PLAN._replace(contents={})
    for _ in range(11):
        repairs.of_trouble(plan, sight("fault", overrun))
    (mended,) = waiting(repairs)
    assert mended.block == (64, 1, 1)
    assert [p.block for p in repairs.before(iter([plan]))] == [plan.block]
    repairs.of_trouble(plan, sight("fault", overrun))
    assert [p.block for p in repairs.before(iter([plan]))] == [(64, 1, 1)]


def test_plans_that_the_last_one_leads_to_are_tried_too() -> None:
    """Those that come up while the last ones are tried follow them."""
    repairs = Repairs(Usage())
    tried = []
    for plan in repairs.before(iter([PLAN])):
        tried.append(plan)
        repairs.of_trouble(plan, sight("beyond", "it reaches 39040492 bytes into 'y'"))
    assert len(tried) == 3


def test_misaligned_vectors_ask_for_whole_ones() -> None:
    """Two launches have to fail for it."""
    repairs = Repairs(Usage())
    fault = sight("fault", "an access through a pointer that is not aligned for its type")
    assert not repairs.wants_whole_vectors
    repairs.of_trouble(PLAN, fault)
    repairs.of_trouble(PLAN, fault)
    assert repairs.wants_whole_vectors
    assert waiting(repairs) == []
