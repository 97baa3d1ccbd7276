"""Facts about waiting for an endpoint."""

from datetime import UTC, datetime

import pytest

from hipopt.llm.patience import LONGEST_WAIT_S, Patience, retry_after_s
from tests.model_endpoint import FakeClock

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def test_waits_double_up_to_the_longest() -> None:
    """Every wait lies between half and the whole of a doubling bound."""
    clock = FakeClock()
    patience = Patience(10_000, clock)
    for _ in range(12):
        assert patience.wait()
    for number, waited_s in enumerate(clock.slept):
        bound_s = min(2.0**number, LONGEST_WAIT_S)
        assert bound_s / 2 <= waited_s <= bound_s


def test_no_patience_waits_not_at_all() -> None:
    """A patience of zero seconds is one request."""
    clock = FakeClock()
    assert not Patience(0, clock).wait()
    assert clock.slept == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0),
        ("1.5", 1.5),
        ("-4", 0.0),
        ("Tue, 01 Jan 2030 00:01:00 GMT", 60.0),
        ("Mon, 31 Dec 2029 00:00:00 GMT", 0.0),
        ("Tue, 01 Jan 2030 00:01:00 -0000", 60.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    """A past date is no wait; nonsense is as if nothing were said."""
    assert retry_after_s({"retry-after": text}, NOW) == seconds
