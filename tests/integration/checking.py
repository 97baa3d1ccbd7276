"""What the tests of the judge share: short ways to write workloads, and to judge a candidate."""

from __future__ import annotations

from hipopt.judge.judge import Judge
from hipopt.judge.options import Prepared
from hipopt.records import Judgement, Workload
from hipopt.source.slice import slice_kernel
from hipopt.source.splice import SpliceFailure, splice


def workload(
    *args: dict[str, object], grid: int = 4, block: int = 64, lds_bytes: int = 0
) -> Workload:
    """A workload in one dimension."""
    return Workload.from_json(
        {"grid": [grid], "block": [block], "lds_bytes": lds_bytes, "args": list(args)}
    )


def buffer(
    name: str, length: int, fill: str = "normal", dtype: str = "float32", **rest: object
) -> dict[str, object]:
    """A pointer argument."""
    return {"name": name, "buffer": dtype, "length": length, "fill": fill, **rest}


def scalar(name: str, value: float, dtype: str = "int32") -> dict[str, object]:
    """An argument passed by value."""
    return {"name": name, "scalar": dtype, "value": value}


def prepare(judge: Judge, reference: str, name: str, *given: Workload) -> Prepared | Judgement:
    """The reference ready for candidates, or why it is not."""
    return judge.prepare(slice_kernel(reference, name), given)


def verdict_on(
    judge: Judge, reference: str, candidate: str, name: str, *given: Workload,
    seeds: tuple[int, ...] | None = None,
) -> Judgement:  # fmt: skip
    """The judgement of a candidate whose reference must be fit for judging."""
    prepared = prepare(judge, reference, name, *given)
    assert isinstance(prepared, Prepared), prepared.reason
    spliced = splice(prepared.reference, candidate)
    assert not isinstance(spliced, SpliceFailure), spliced.reason
    return judge.judge(prepared, spliced, seeds)
