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

from hipopt.broker import WORKER_LOST_RETRIES, check_broker, publish_result
from hipopt.embedded import die_with_parent
from hipopt.errors import BrokerError
from hipopt.messages import TASK_NAME, MessageError, decode_task, encode_row
from hipopt.records import ResultRow
from hipopt.settings import Settings

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
        **_: object,
    ) -> None:
        if getattr(sender, "name", None) != TASK_NAME or not isinstance(exception, WorkerLostError):
            return
        try:
            kernel = decode_task(args[0]).kernel
        except (MessageError, IndexError) as error:
            logger.error("a task whose process was lost can't be read: %s", error)
            return
        row = ResultRow(
            id=kernel.id,
            status="failure",
            name=kernel.name,
            hip_file=kernel.hip_file,
            failure_kind="worker_lost",
            error_message=(
                f"the pool process died {WORKER_LOST_RETRIES + 1} times while it worked on this "
                f"kernel: {exception}"
            ),
            shard=kernel.shard,
            retry=kernel.retry,
        )
        publish_result(app, settings.namespace, encode_row(row), max_retries=3)
