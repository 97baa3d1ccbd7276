"""An objection: the way out of a judgement's nested steps once the verdict is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from hipopt import deadline
from hipopt.device.interface import Fault
from hipopt.errors import DeviceError
from hipopt.records import Verdict

T = TypeVar("T")


class Objection(Exception):
    """Ends a judgement with a verdict and its evidence, named as in `records.Judgement`."""

    def __init__(self, verdict: Verdict, reason: str, **evidence: Any) -> None:  # noqa: ANN401
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason
        self.evidence = evidence
        found = evidence.get("mismatch")
        self.data: tuple[int, int] | None = (found.workload, found.seed) if found else None
        """The workload's number and the seed that it rests on; None: not known, or on none."""


@contextmanager
def resting_on(number: int, seed: int) -> Iterator[None]:
    """Objections from within rest on the data of that workload and seed, unless they tell more."""
    try:
        yield
    except Objection as objection:
        objection.data = objection.data or (number, seed)
        raise


def unless_fault(result: T | Fault, prefix: str = "") -> T:
    """The result, where the launch ended well.

    Raises:
        Objection: with the fault's verdict.
    """
    if isinstance(result, Fault):
        raise Objection(result.verdict, prefix + result.reason)
    return result


def within(timeout_s: float, work: Callable[[], T], what: str, device: object = None) -> T:
    """What `work()` returns, if it does so within `timeout_s`.

    The deadline reaches Python code only; native code ends with its session, whose child process
    group is killed while `work` unwinds, and each launch has a deadline of its own.

    Args:
        timeout_s: how long all of it may take.
        work: what is done.
        what: its name, for a person.
        device: on which it is done; where its `troubles` grew meanwhile, nobody else is blamed.

    Raises:
        Objection: with `timeout`.
        DeviceError: the time passed while the device was in trouble of its own.
    """
    troubles = _troubles(device)
    try:
        return deadline.within(timeout_s, work)
    except deadline.DeadlinePassed:
        too_long = f"{what} took longer than {timeout_s:g} s"
    if _troubles(device) > troubles:
        raise DeviceError(f"{too_long}, with trouble of the device's own amid it")
    raise Objection(Verdict.TIMEOUT, too_long)


def _troubles(device: object) -> int:
    """How often the device had trouble that no kernel has a part in; 0: it can't have any."""
    count: int = getattr(device, "troubles", 0)
    return count
