"""Running a workload's launches: fill, load, launch, read back."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from hipopt.device.interface import Fault, Session
from hipopt.judge.objection import Objection
from hipopt.records import Scalar, Verdict, Workload

Arrays = list[NDArray[Any]]


def load(session: Session, workload: Workload, contents: Arrays) -> Fault | None:
    """Lay out the workload in the session with `contents`, one array for each buffer in order."""
    remaining = iter(contents)
    args = [a if isinstance(a, Scalar) else next(remaining) for a in workload.args]
    return session.load(workload.grid, workload.block, workload.lds_bytes, args)


def run_once(
    session: Session, workload: Workload, contents: Arrays, timeout_s: float
) -> Arrays | Fault:
    """What one launch leaves in the buffers."""
    return load(session, workload, contents) or launch_and_read(session, timeout_s)


def launch_and_read(session: Session, timeout_s: float) -> Arrays | Fault:
    """What one more launch of what is loaded leaves in the buffers."""
    launched = session.launch(timeout_s)
    return launched if isinstance(launched, Fault) else session.read()


def run_reference(
    session: Session, workload: Workload, contents: Arrays, timeout_s: float
) -> Arrays:
    """What one launch of the reference leaves in the buffers.

    Raises:
        Objection: with `reference_error`.
    """
    result = run_once(session, workload, contents, timeout_s)
    if isinstance(result, Fault):
        raise Objection(Verdict.REFERENCE_ERROR, f"the original failed: {result.reason}")
    return result
