"""What a worker logs while its broker is away."""

from __future__ import annotations

import logging

import pytest
from celery.worker.consumer import consumer

from tasks.away import Away

ERROR = ConnectionRefusedError("nobody listens")


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def test_a_loss_and_a_return_are_told_once(heard: pytest.LogCaptureFixture) -> None:
    """However often Celery tries, two lines come of it; all else that it logs stays as it is."""
    away = Away("redis://h:***@broker/0")
    logger = logging.getLogger("test.consumer")
    logger.addFilter(away)
    for _ in range(2):
        logger.warning("%s (%r)", consumer.CONNECTION_RETRY, ERROR)
        for seconds in (2, 4, 6):
            again = f"Trying again in {seconds}.00 seconds..."
            logger.error(consumer.CONNECTION_ERROR, "redis://broker", ERROR, again)
        logger.info("Task %s received", "k")
        away.back()
        away.back()
    told = [
        "broker redis://h:***@broker/0 is away, waiting for it: nobody listens",
        "Task k received",
        "broker is back",
    ]
    assert heard.messages == told * 2


def test_a_first_connection_is_no_return(heard: pytest.LogCaptureFixture) -> None:
    """A worker that never lost its broker doesn't say that it is back."""
    Away("redis://broker/0").back()
    assert heard.messages == []
