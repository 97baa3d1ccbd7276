"""A call with a deadline for the whole of it.

The call runs in a thread of its own, which is interrupted at its next step of Python code. Native
code that it waits for (a socket, a child process) needs a timeout of its own to end that wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from func_timeout import FunctionTimedOut, func_timeout

T = TypeVar("T")


class DeadlinePassed(Exception):
    """The call did not end in time. Never what the call itself raised."""


class _Run(Generic[T]):
    """A call whose value or exception is kept, so that it leaves the thread unchanged."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._value: list[T] = []
        self._error: BaseException | None = None

    def in_thread(self) -> None:
        """Make the call; in the thread that gets interrupted."""
        try:
            self._value.append(self._call())
        except FunctionTimedOut:
            raise
        except BaseException as error:  # noqa: BLE001 (raised again in the caller's thread)
            self._error = error

    def result(self) -> T:
        """The call's value; its exception is raised with the traceback that it had."""
        if self._error is not None:
            raise self._error
        return self._value[0]


def within(timeout_s: float, call: Callable[[], T]) -> T:
    """What `call` returns or raises, if it ends within `timeout_s` seconds; else DeadlinePassed."""
    run = _Run(call)
    try:
        func_timeout(timeout_s, run.in_thread)
    except FunctionTimedOut:
        raise DeadlinePassed(f"did not end within {timeout_s:g} s") from None
    return run.result()
