"""A worker says once that the broker is away, and once that it is back.

Celery says so at every try to connect, for as long as the broker is gone, on every node. The words
are those of dispatcher and collector.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery, bootsteps
from celery.worker.consumer import consumer

from hipopt.broker.url import masked
from hipopt.settings import Settings

logger = logging.getLogger(__name__)


class Away(logging.Filter):
    """Puts one line in place of all that tell of a lost connection.

    Args:
        where: the broker, as it may be shown.
    """

    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where
        self._away = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record, which may have got other words, is logged."""
        told = record.args if isinstance(record.args, tuple) else ()
        if record.msg == consumer.CONNECTION_ERROR:
            reason = told[1]
        elif consumer.CONNECTION_RETRY in (record.msg, *told[:1]):
            reason = told[-1]
        else:
            return True
        if self._away:
            return False
        self._away = True
        record.msg, record.args = "broker %s is away, waiting for it: %s", (self._where, reason)
        return True

    def back(self) -> None:
        """There is a connection again; that is said, if it was said that there was none."""
        if self._away:
            logger.warning("broker is back")
        self._away = False


def install(app: Celery, settings: Settings) -> None:
    """Of what workers of this app log while the broker is away, two lines are left."""
    words = Away(masked(settings.broker_url))
    consumer.logger.addFilter(words)

    class Back(bootsteps.StartStopStep):
        name = "hipopt.back"
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, parent: Any) -> None:  # noqa: ANN401, ARG002 (Celery's Consumer is untyped)
            words.back()

    app.steps["consumer"].add(Back)
