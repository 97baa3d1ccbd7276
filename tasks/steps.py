"""What a worker does besides tasks: it renews leases, learns of shard queues, sends its events.

All belong to the worker's main process and start anew with every connection to the broker.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from celery import Celery, bootsteps
from celery.worker import state
from celery.worker.state import active_requests
from redis.exceptions import RedisError

from hipopt.broker import queues
from hipopt.broker.app import connect
from hipopt.broker.lease import Keeper, hand_over, share_client
from hipopt.broker.starts import Starts
from hipopt.messages import may_serve
from hipopt.settings import Settings

logger = logging.getLogger(__name__)

EVENTS_S = 0.3
"""How long an event waits for others at most."""
LEARN_S = 2.0
"""How long a new shard queue goes unserved at most."""


def install(app: Celery, settings: Settings) -> None:
    """Workers of this app do all of it."""
    app.steps["consumer"].update({_leases(settings), _learning(settings), _events()})


def _leases(settings: Settings) -> type[bootsteps.StartStopStep]:
    keeper = Keeper(settings)

    class Leases(bootsteps.StartStopStep):
        """Running tasks stay ours however long they run, through an orderly shutdown too."""

        name = "hipopt.leases"
        requires = ("celery.worker.consumer.tasks:Tasks",)

        _channel: Any = None

        def start(self, parent: Any) -> None:  # noqa: ANN401 (Celery's Consumer is untyped)
            """What runs since before a lost connection is ours on the new one.

            Kombu 5.7 would put it back, or acknowledge it, through the connection that was lost:
            either ends the worker with an AttributeError.
            """
            channel = parent.task_consumer.channel
            if self._channel is not None:
                hand_over(self._channel, channel, {request.id for request in active_requests})
            self._channel = keeper.channel = channel
            channel.do_restore = False
            share_client(channel)
            keeper.start()

        def stop(self, parent: Any) -> None:  # noqa: ANN401, ARG002
            """What still runs keeps its lease, and goes back when the channel is closed."""
            if self._channel is not None:
                self._channel.do_restore = True
                if state.should_terminate not in {None, False}:
                    _uncount(settings, self._channel)

        terminate = stop

    return Leases


def _uncount(settings: Settings, channel: Any) -> None:  # noqa: ANN401 (a kombu Redis channel)
    """What a stop puts back is not held against its kernels."""
    held = [message.headers.get("id") for message in list(channel.qos._delivered.values())]
    with connect(settings, timeout_s=2.0) as client:
        Starts(client, settings.namespace).undo(i for i in held if i)


def _events() -> type[bootsteps.StartStopStep]:
    class Events(bootsteps.StartStopStep):
        """Events of tasks, which Flower lives on, are sent by many at once.

        Celery sends them at each turn of its loop: two messages a task, and more of the main
        process's time than fetching and acknowledging the task.
        """

        name = "hipopt.events"
        requires = ("celery.worker.consumer.events:Events",)
        _waiting = False

        def start(self, parent: Any) -> None:  # noqa: ANN401
            dispatcher = parent.event_dispatcher
            if parent.hub is None or not dispatcher or not dispatcher.on_send_buffered:
                return
            self._waiting = False

            def flush() -> None:
                self._waiting = False
                parent._flush_events()

            def later() -> None:
                if not self._waiting:
                    self._waiting = True
                    parent.hub.call_later(EVENTS_S, flush)

            dispatcher.on_send_buffered = later

        def stop(self, parent: Any) -> None:  # noqa: ANN401
            """What was not told yet is told, if the broker listens."""
            with suppress(Exception):
                parent._flush_events()

        terminate = stop

    return Events


def _learning(settings: Settings) -> type[bootsteps.StartStopStep]:
    class Learning(bootsteps.StartStopStep):
        """Shard queues that a dispatcher registered are served, unless queues were chosen.

        Those for GPUs that are not here are left alone.
        """

        name = "hipopt.learning"
        requires = ("celery.worker.consumer.tasks:Tasks",)
        _entry: Any = None

        def include_if(self, parent: Any) -> bool:  # noqa: ANN401
            known = parent.app.amqp.queues
            return set(known.consume_from) == {q.name for q in parent.app.conf.task_queues}

        def start(self, parent: Any) -> None:  # noqa: ANN401
            self._entry = parent.timer.call_repeatedly(LEARN_S, self._learn, (parent,))

        def stop(self, parent: Any) -> None:  # noqa: ANN401, ARG002
            if self._entry is not None:
                self._entry.cancel()
                self._entry = None

        def _learn(self, consumer: Any) -> None:  # noqa: ANN401
            try:
                with connect(settings, timeout_s=1.0) as client:
                    names = queues.registered(client, settings.namespace)
            except (RedisError, OSError) as error:
                logger.debug("queues not learned: %s", error)  # the worker says that it is away
                return
            served = consumer.app.amqp.queues.consume_from
            for name in names:
                if name not in served and may_serve(name, settings.arch):
                    consumer.add_task_queue(name)

    return Learning
