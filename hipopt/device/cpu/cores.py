"""The cores of this node: one thing of hipopt's at a time on each, whichever worker it belongs to.

Guarantee: while a kernel is looked at, checked and timed, its core runs neither another kernel nor
a compiler of ours. The process that judges it is bound to that core too: it works only while the
kernel rests, and would disturb the neighbours elsewhere. Compilers take a core each, so they run
beside kernels that others have in work, and wait while all cores are held.
Price: a core is idle for some milliseconds between two holders.
Scope: the processes of one node that name the same `slots_dir`, by default one user's. Waiting for
the model, slicing and talking to the broker take no core of their own: milliseconds a kernel,
wherever the system puts them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hipopt.device.slots import hold_slot, shared_directory


class Cores:
    """The cores that this process may use. Make it before any thread is bound to one.

    Args:
        slots_dir: that all processes of this node name; None: a folder of this user's among the
            temporary files.
    """

    def __init__(self, slots_dir: Path | None = None) -> None:
        self.held: int | None = None
        """The core that is held for kernels; None: none is."""
        self._usable = sorted(os.sched_getaffinity(0))
        self._directory = shared_directory(slots_dir) / "cpu"

    @contextmanager
    def for_kernels(self) -> Iterator[None]:
        """`held` is this process's alone, and this thread is bound to it; waits for one.

        Within itself it changes nothing.
        """
        if self.held is not None:
            yield
            return
        with hold_slot(self._directory, self._usable) as core, _bound_to(core):
            self.held = core
            try:
                yield
            finally:
                self.held = None

    @contextmanager
    def for_a_compiler(self) -> Iterator[int]:
        """A core that is this thread's alone, which is bound to it; waits for one.

        Where kernels wait for the compiler with a core held and no other is free, it is theirs.
        """
        with hold_slot(self._directory, self._usable, self.held) as core, _bound_to(core):
            yield core


@contextmanager
def _bound_to(core: int) -> Iterator[None]:
    """The calling thread, and whatever it starts, runs on that core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
