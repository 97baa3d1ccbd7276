"""What a worker does besides tasks: it renews its leases and learns of new shard queues.

Both run on the worker's own event loop, in its main process, and start anew with every
connection to the broker.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery, bootsteps
from redis.exceptions import RedisError

from hipopt import queues
from hipopt.broker import connect
from hipopt.lease import renew, renew_interval_s
from hipopt.settings import Settings

logger = logging.getLogger(__name__)

LEARN_S = 2.0
"""How long a new shard queue goes unserved at most."""


def install(app: Celery, settings: Settings) -> None:
    """Workers of this app have both habits."""
    app.steps["consumer"].update({_leases(settings), _learning(settings)})


class _Habit(bootsteps.StartStopStep):
    """Something done every `interval_s` while the worker consumes."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    interval_s = 1.0
    _entry: Any = None

    def act(self, consumer: Any) -> None:  # noqa: ANN401 (Celery's Consumer is untyped)
        raise NotImplementedError

    def start(self, parent: Any) -> None:  # noqa: ANN401
        self._entry = parent.timer.call_repeatedly(self.interval_s, self._guarded, (parent,))

    def stop(self, parent: Any) -> None:  # noqa: ANN401, ARG002
        if self._entry is not None:
            self._entry.cancel()
            self._entry = None

    def _guarded(self, parent: Any) -> None:  # noqa: ANN401
        try:
            self.act(parent)
        except (*parent.connection_errors, RedisError) as error:
            logger.debug("%s: %s", self.name, error)  # the worker itself says that it is away


def _leases(settings: Settings) -> type[_Habit]:
    class Leases(_Habit):
        """Running tasks stay ours however long they run; see `hipopt.lease`."""

        name = "hipopt.leases"
        interval_s = renew_interval_s(settings)

        def act(self, consumer: Any) -> None:  # noqa: ANN401
            if consumer.task_consumer is not None:
                renew(consumer.task_consumer.channel)

    return Leases


def _learning(settings: Settings) -> type[_Habit]:
    class Learning(_Habit):
        """Shard queues that a dispatcher registered are served, unless queues were chosen."""

        name = "hipopt.learning"
        interval_s = LEARN_S

        def include_if(self, parent: Any) -> bool:  # noqa: ANN401
            known = parent.app.amqp.queues
            return set(known.consume_from) == {q.name for q in parent.app.conf.task_queues}

        def act(self, consumer: Any) -> None:  # noqa: ANN401
            with connect(settings, timeout_s=1.0) as client:
                served = consumer.app.amqp.queues.consume_from
                for queue in queues.registered(client, settings.namespace):
                    if queue not in served:
                        consumer.add_task_queue(queue)

    return Learning
