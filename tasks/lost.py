"""The row of a kernel under which processes or nodes die."""

from __future__ import annotations

from hipopt.records import KernelTask, ResultRow

NODE_LOST_LIMIT = 3
"""A kernel that took its whole node down this often is not started again."""


def lost_row(kernel: KernelTask, reason: str) -> ResultRow:
    """The final row of a kernel that must not be started again."""
    return ResultRow(
        id=kernel.id,
        status="failure",
        name=kernel.name,
        hip_file=kernel.hip_file,
        failure_kind="worker_lost",
        error_message=reason,
        shard=kernel.shard,
        retry=kernel.retry,
    )


def nodes_lost(starts: int, retries: int) -> int:
    """How many nodes went down under a kernel.

    Args:
        starts: of its task that came to no end, this one included; 0: not known.
        retries: how many of them ended with their pool process alone, which Celery counts.
    """
    return max(starts - 1 - retries, 0)
