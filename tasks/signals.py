"""A worker's first and last words: checks at boot, and the row of a kernel that kills processes.

Celery holds receivers weakly unless told otherwise; ours live as long as the app.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from billiard.exceptions import WorkerLostError
from celery import Celery, signals

from hipopt.broker.app import WORKER_LOST_RETRIES, check_broker, publish_result
from hipopt.broker.app import connect as connect_redis
from hipopt.broker.embedded import die_with_parent
from hipopt.broker.starts import Starts
from hipopt.errors import BrokerError
from hipopt.messages import TASK_NAME, MessageError, decode_task, encode_row
from hipopt.settings import Settings
from tasks.lost import lost_row

logger = logging.getLogger(__name__)


def connect(app: Celery, settings: Settings) -> None:
    """Workers of this app speak up at boot, in every pool process, and when one is lost."""

    @signals.worker_init.connect(weak=False)
    def check(**_: object) -> None:
        try:
            for warning in check_broker(settings):
                logger.warning("%s", warning)
        except BrokerError as error:
            print(error, file=sys.stderr)  # noqa: T201 (Celery has set up no log yet)
            raise SystemExit(1) from None

    @signals.worker_process_init.connect(weak=False)
    def bind(**_: object) -> None:
        """A worker that is killed takes its pool with it: no process works on for nobody."""
        die_with_parent()
        if os.getppid() == 1:  # it died before we asked
            os._exit(1)

    @signals.task_failure.connect(weak=False)
    def report_lost(
        sender: Any = None,  # noqa: ANN401
        exception: object = None,
        args: Any = (),  # noqa: ANN401
        task_id: str = "",
        **_: object,
    ) -> None:
        if getattr(sender, "name", None) != TASK_NAME or not isinstance(exception, WorkerLostError):
            return
        try:
            kernel = decode_task(args[0]).kernel
        except (MessageError, IndexError) as error:
            logger.error("a task whose process was lost can't be read: %s", error)
            return
        reason = (
            f"the pool process died {WORKER_LOST_RETRIES + 1} times while it worked on this "
            f"kernel: {exception}"
        )
        body = encode_row(lost_row(kernel, reason))
        publish_result(app, settings.namespace, body, max_retries=3)
        with connect_redis(settings, timeout_s=5.0) as client:
            Starts(client, settings.namespace).end(task_id)
