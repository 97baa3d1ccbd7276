"""A call with a deadline.

Guarantee: `within` returns or raises no later than its timeout plus its grace. Price: the call
runs in a thread of its own. Scope: Python code is interrupted at its next bytecode; code that sits
in a system call is not, which is why `abort` has to end what it waits for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from func_timeout import FunctionTimedOut, func_timeout

T = TypeVar("T")


class DeadlinePassed(Exception):
    """The call did not end in time."""

    def __init__(self, timeout_s: float, *, still_running: bool) -> None:
        super().__init__(f"did not end within {timeout_s:g} s")
        self.still_running = still_running
        """True: not even interrupting and aborting it ended the call."""


class _Run(Generic[T]):
    """A call whose value or exception is kept, so that it leaves the thread unchanged."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._value: list[T] = []
        self._error: BaseException | None = None
        self.thread: threading.Thread | None = None

    def in_thread(self) -> None:
        """Make the call; in the thread that gets interrupted."""
        self.thread = threading.current_thread()
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

    def ended(self, grace_s: float) -> bool:
        """Whether the thread has ended, after waiting for it."""
        if self.thread is None:
            return False
        self.thread.join(grace_s)
        return not self.thread.is_alive()


def within(
    timeout_s: float,
    call: Callable[[], T],
    *,
    abort: Callable[[], None] | None = None,
    grace_s: float = 0.0,
) -> T:
    """What `call` returns or raises, if it ends within `timeout_s` seconds.

    Args:
        timeout_s: seconds that the call may take.
        call: takes nothing; bind arguments beforehand.
        abort: ends what the call waits for; called when the deadline passes, and when the wait
            itself is interrupted (by Ctrl-C or a task's time limit).
        grace_s: seconds to wait, after the deadline, for the call to unwind.

    Raises:
        DeadlinePassed: the call took longer.
    """
    run = _Run(call)
    try:
        func_timeout(timeout_s, run.in_thread)
    except FunctionTimedOut:
        passed = True
    except BaseException:
        if abort is not None:
            abort()
        raise
    else:
        passed = False
    if not passed:
        return run.result()
    if abort is not None:
        abort()
    raise DeadlinePassed(timeout_s, still_running=not run.ended(grace_s))
