"""Where a dispatch stands, as who watches it is told."""

from __future__ import annotations

from hipopt.records import Record


class Progress(Record, frozen=True, kw_only=True):
    """Where a dispatch stands."""

    total: int
    """Kernels of the manifest (in the shards chosen)."""
    done: int
    """Settled by the log, earlier runs included."""
    succeeded: int
    on_their_way: int
    waiting: int
    """Not sent yet."""
    resent: int
    """Kernels that vanished and were sent again, in this dispatch."""
    given_up: int
    """Kernels that vanished each time they were sent; a later dispatch tries them again."""
    left_out: int
    """Kernels whose row in the manifest can't be sent."""
    results_waiting: int
    """Results that no collector has taken yet; growing: none runs."""
    broker_away: bool
    shards_done: tuple[int, ...] = ()
    """Kernels settled of each shard."""
