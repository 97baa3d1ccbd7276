"""Where the reference is run while its workloads are qualified."""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import ExitStack, contextmanager

from hipopt.device.interface import CodeObject, Device, Fault, Microscope, Observation
from hipopt.judge.build import Builds, is_own
from hipopt.judge.execution import Arrays, Runner, load
from hipopt.records import Workload


class Bench:
    """The reference on the judging device and, where there is one, on a microscope.

    Args:
        device: runs it as it is judged.
        microscope: runs its plain build in any order and rounding; None: there is none.
        instrumented: runs its instrumented build; None: there is none.
        microscopist: the microscope itself, where there is one.
        copies: whether the reference does nothing but copy, by its text: what copies an input is
            right then, and leaves nothing undone.
        strided: of x, y and z those along which it reads how many blocks there are, by its text:
            fewer blocks may do the same work.
    """

    def __init__(
        self, device: Runner, microscope: Runner | None, instrumented: CodeObject | None,
        microscopist: Microscope | None, timeout_s: float, *, copies: bool = False,
        strided: Set[str] = frozenset(),
    ) -> None:  # fmt: skip
        self.device = device
        self.microscope = microscope
        self.copies = copies
        self.strided = strided
        self.seen: Observation | None = None
        """What the last `observe` saw."""
        self._instrumented = instrumented
        self._microscopist = microscopist
        self._timeout_s = timeout_s

    def observe(self, workload: Workload, contents: Arrays) -> Observation | Fault | None:
        """What the instrumented reference shows on this launch; None: it can't be looked at."""
        self.seen = None
        if self._instrumented is None or self._microscopist is None:
            return None
        with self._microscopist.open_instrumented(self._instrumented) as session:
            fault = load(session, workload, contents)
            launched = fault or session.launch(self._timeout_s)
            if isinstance(launched, Fault):
                return launched
            left = session.read()
            self.seen = session.observe()
            return left if isinstance(left, Fault) else self.seen


@contextmanager
def open_bench(
    device: Device, microscope: Microscope | None, builds: Builds, template: tuple[str, ...],
    timeout_s: float, *, copies: bool = False, strided: Set[str] = frozenset(),
) -> Iterator[Bench]:  # fmt: skip
    """A bench for the reference with these template arguments."""
    with ExitStack() as stack:
        runner = stack.enter_context(Runner(device.open, builds.device[template], timeout_s))
        looker: Runner | None = None
        plain = builds.plain.get(template)
        if microscope is not None and plain is not None:
            looker = runner
            if not is_own(microscope, device):
                looker = stack.enter_context(Runner(microscope.open, plain, timeout_s))
        instrumented = builds.instrumented.get(template)
        yield Bench(
            runner, looker, instrumented, microscope, timeout_s, copies=copies, strided=strided
        )
