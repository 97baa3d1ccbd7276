"""The small run of CI. The long one: `make chaos`."""

from pathlib import Path

from tests.chaos.run import chaos
from tests.integration.conftest import redis_binary

__all__ = ["redis_binary"]


def test_kills_lose_nothing_and_repeat_nothing(tmp_path: Path, redis_binary: Path) -> None:
    """120 kernels amid 12 kills of everything there is, Redis included: each is logged once.

    What was running or about to be acknowledged at a kill may run again, and nothing else.
    """
    assert redis_binary.exists()
    found = chaos(tmp_path, kernels=120, kills=12, seed=20, timeout_s=150)
    assert (found.rows, found.duplicates, found.missing) == (120, 0, 0), found
    assert sum(found.kills.values()) >= 10, found
    assert found.evaluations <= 1.1 * 120 + 12, found
