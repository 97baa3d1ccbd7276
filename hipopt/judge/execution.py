"""Running a workload's launches: fill, load, launch, read back."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from hipopt.device.interface import FORWARD, CodeObject, Fault, Schedule, Session
from hipopt.records import Scalar, Workload

Arrays = list[NDArray[Any]]
Opener = Callable[[CodeObject], Session]


def load(
    session: Session, workload: Workload, contents: Arrays, *, keep_addresses: bool = False
) -> Fault | None:
    """Lay out the workload in the session with `contents`, one array for each buffer in order."""
    remaining = iter(contents)
    args = [a if isinstance(a, Scalar) else next(remaining) for a in workload.args]
    return session.load(
        workload.grid, workload.block, workload.lds_bytes, args, keep_addresses=keep_addresses
    )


class Runner:
    """Runs one code object, in a fresh session after each fault. Use as a context manager."""

    def __init__(self, opener: Opener, code: CodeObject, timeout_s: float) -> None:
        self._open = opener
        self._code = code
        self._timeout_s = timeout_s
        self._session: Session | None = None
        self.time_us = 0.0
        """Of the last launch."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._session is not None:
            self._session.__exit__(kind, error, tb)
            self._session = None

    @property
    def session(self) -> Session:
        """The session that the next launch uses."""
        if self._session is None:
            self._session = self._open(self._code).__enter__()
        return self._session

    def run(
        self, workload: Workload, contents: Arrays, schedule: Schedule = FORWARD, *,
        keep_addresses: bool = False,
    ) -> Arrays | Fault:  # fmt: skip
        """What one launch leaves in the buffers.

        They lie where the last launch's lay if `keep_addresses` says so and sizes and session are
        the same.
        """
        fault = load(self.session, workload, contents, keep_addresses=keep_addresses)
        return self._unless_dead(fault) if fault else self.again(schedule)

    def again(self, schedule: Schedule = FORWARD) -> Arrays | Fault:
        """What one more launch of what was loaded last leaves in the buffers.

        Not after a fault, as nothing is loaded then.
        """
        launched = self.session.launch(self._timeout_s, schedule)
        if isinstance(launched, Fault):
            return self._unless_dead(launched)
        self.time_us = launched.time_us
        return self._unless_dead(self.session.read())

    def _unless_dead(self, result: Arrays | Fault) -> Arrays | Fault:
        if isinstance(result, Fault):
            self.__exit__(None, None, None)
        return result
