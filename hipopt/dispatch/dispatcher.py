"""The dispatcher: every kernel of the manifest that the log lacks gets a task, until none is left.

Guarantee: the log is the truth. A kernel is settled when the log says so and sent again when it
is neither settled nor anywhere on its way, so the loss of any worker, collector or broker heals.
A kernel that is on its way already, from this, an earlier or another dispatch, is not sent again.
Dispatchers take turns (`hipopt.broker.turn`), and who finds that another has sent meanwhile looks
before sending. A row that is no kernel is said and left out. Price: one pass over manifest and log
at the start; now and then the waiting messages are read to see which kernels are on their way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import get_args

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from hipopt.broker import queues
from hipopt.broker.app import connect, make_app
from hipopt.broker.send import Envelopes
from hipopt.broker.turn import Turn, TurnLost
from hipopt.broker.url import masked
from hipopt.dispatch.audit import Audit
from hipopt.dispatch.plan import Plan, public_settings, read_plan, write_plan
from hipopt.dispatch.progress import Progress
from hipopt.dispatch.refill import Refill
from hipopt.dispatch.shards import ShardPlan, keep_plan, plan_shards
from hipopt.dispatch.todo import Todo
from hipopt.errors import UsageError
from hipopt.log.line import LogLine
from hipopt.log.reader import LogReader
from hipopt.messages import result_queue, shard_queue
from hipopt.records import FailureKind, KernelId, Record
from hipopt.rows import Rows
from hipopt.settings import Settings

logger = logging.getLogger(__name__)

TICK_S = 0.25
SETTLE_S = 0.5
"""Between two looks at what others sent: a message that moves is missed by one of them at most."""
BROKER_ERRORS = (RedisError, KombuError, OSError)


class DispatchOptions(Record, frozen=True, kw_only=True):
    """How one dispatch goes about it."""

    only_shards: tuple[int, ...] = ()
    """Send these shards and leave the others; empty: all."""
    retry: tuple[str, ...] = ()
    """Kinds of failure whose kernels are done again; `all`: every failure."""
    limit: int | None = None
    """Send this many kernels at most; None: all."""
    window: int = 2000
    """Most kernels on their way at once, all shards together, so that any manifest fits."""
    wait: bool = True
    """Stay until all is done. False: send all at once, whatever the window, and return."""
    grace_s: float = 15.0
    """A kernel that is nowhere to be found for this long is sent again."""
    resend: int = 3
    """How often a kernel that vanishes is sent again before it is given up for this dispatch."""
    skip_bad_lines: bool = False
    """Read over lines of the log that are no rows."""


class Dispatcher:
    """One dispatch. Making it reads the manifest's ids and the log, and sends nothing.

    Raises:
        ManifestError, LogError: the files can't be read.
        BrokerError: the broker's URL is of no kind that hipopt speaks.
        UsageError: no manifest or log is set, or a shard is chosen that does not exist.
    """

    def __init__(self, settings: Settings, options: DispatchOptions) -> None:
        if settings.manifest is None or settings.log is None:
            name = "manifest" if settings.manifest is None else "log"
            raise UsageError(
                f"no {name} given: name it on the command line, as HIPOPT_{name.upper()} or as "
                f"'{name}' in hipopt.toml"
            )
        self.settings = settings
        self.options = options
        self.log_path = settings.log
        _check_kinds(options.retry)
        self.rows = Rows(settings.manifest)
        self.reader = LogReader(settings.log, skip_bad=options.skip_bad_lines)
        self.plan = self._planned()
        self.todo = self._left_to_do()
        self.queues = [
            shard_queue(settings.namespace, s.number, settings.arch) for s in self.plan.shards
        ]
        self._on_row: Callable[[LogLine], None] = lambda _: None
        self._app: Celery = make_app(settings)
        self._client = connect(settings)
        self._turn = Turn(self._client, settings.namespace)
        self._audit = Audit(
            self._client, settings.namespace, self.queues, self.rows.ids, self.todo,
            grace_s=options.grace_s, resend=options.resend,
        )  # fmt: skip
        share = max(options.window // len(self.plan.shards), 1)
        self._refill = Refill(
            self.rows, self.todo, Envelopes(self._app, settings.namespace, settings.arch),
            share=share if options.wait else None,
        )  # fmt: skip
        self._results_waiting = 0
        self._away = False
        self._dry = False

    @property
    def bad_rows(self) -> list[str]:
        """What is wrong with the kernels that were left out."""
        return self._refill.bad_rows

    def run(
        self,
        on_progress: Callable[[Progress], None],
        stop: threading.Event,
        on_row: Callable[[LogLine], None] = lambda _: None,
    ) -> Progress:
        """Every kernel is settled, given up, or beyond the limit; or `stop` was set.

        Args:
            on_progress: told where it stands, several times a second.
            stop: ends it; what was sent goes on.
            on_row: called with every row that appears in the log from now on and counts.
        """
        self._on_row = on_row
        self._write_plan()
        try:
            while not stop.is_set() and self.todo.unfinished:
                self._step()
                on_progress(self.progress())
                if not self.options.wait and not self.todo.waiting and not self._away:
                    break
                if self.todo.unfinished:
                    stop.wait(1.0 if self._away else TICK_S)
        finally:
            self._client.close()
            self._app.close()
            self.rows.close()
        final = self.progress()
        on_progress(final)
        return final

    def progress(self) -> Progress:
        """Where it stands, by what the log said last."""
        return Progress(
            total=self.todo.total,
            done=self.todo.done,
            succeeded=self.todo.succeeded,
            on_their_way=self.todo.on_their_way,
            waiting=self.todo.waiting,
            resent=self._audit.resent,
            given_up=self.todo.given_up - len(self.bad_rows),
            left_out=len(self.bad_rows),
            results_waiting=self._results_waiting,
            broker_away=self._away,
            shards_done=tuple(self.todo.shards_done),
        )

    def dry_run(self) -> bool:
        """What is on its way is known, if the broker answers, and every row is checked.

        Nothing is sent, and nothing written anywhere. False: the broker does not answer.
        """
        try:
            self._audit.mark_sent(self._audit.look())
            answers = True
        except BROKER_ERRORS:
            answers = False
        self._refill.check_waiting()
        return answers

    def _read_log(self) -> None:
        """What the log has by now is settled."""
        self.todo.settle(self._shown(self.reader.read_on()))

    def _shown(self, rows: Iterator[LogLine]) -> Iterator[LogLine]:
        for row in rows:
            self._on_row(row)
            yield row

    def _step(self) -> None:
        """The log read on, what is on its way checked if it is time, hungry shards refilled."""
        self._read_log()
        try:
            if self._audit.is_due(dry=self._dry) or self._refill.hungry():
                self._take_turn()
            self._look_at_queues()
        except BROKER_ERRORS as error:
            if not self._away:
                where = masked(self.settings.broker_url)
                logger.warning("broker %s is away, waiting for it: %s", where, error)
            self._away = True
            return
        if self._away:
            logger.warning("broker is back")
            self._audit.forget()
        self._away = False

    def _look_at_queues(self) -> None:
        results = result_queue(self.settings.namespace)
        depths = queues.depths(self._client, [results, *self.queues])
        self._results_waiting = depths.pop(results)
        self._dry = not any(depths.values())

    def _take_turn(self) -> None:
        """What was due is done, unless it is another dispatcher's turn: then it stays due."""
        if not self._turn.take():
            return
        try:
            last = self._turn.last_sent()
            if not self._turn.alone or self._audit.is_first:
                self._join(last)
            elif self._audit.is_due(dry=self._dry):
                self._audit.settle(self._audit.look(self._turn.renew), self._read_log)
            self._refill.send(self._turn)
        except TurnLost as lost:
            logger.warning("stood still for too long to go on sending; looking anew")
            for kernel_id in lost.unsent:
                self.todo.take_back(kernel_id)
        finally:
            self._turn.end()

    def _join(self, last_sent: str | None) -> None:
        """What others have sent, before or beside us, is known."""
        found = self._audit.look(self._turn.renew)
        if last_sent is not None:  # one look could miss a message between two places
            time.sleep(SETTLE_S)
            found |= self._audit.look(self._turn.renew)
        self._read_log()
        self._audit.mark_sent(found)
        self._turn.saw(last_sent)
        self._audit.settle(found, self._read_log)

    def _planned(self) -> ShardPlan:
        """The shards of the last dispatch where they still serve, else new ones."""
        ids, shards = self.rows.ids, self.settings.shards
        earlier = read_plan(self.log_path)
        kept = keep_plan(earlier.shard_plan, ids, shards) if earlier else None
        return kept or plan_shards(ids, shards)

    def _left_to_do(self) -> Todo:
        """The kernels of the chosen shards, settled by the log and cut to the limit."""
        todo = Todo(self.rows.ids, self.plan, _chosen(self.options.only_shards, self.plan))
        todo.settle(self.reader.read_on())
        todo.do_again(self._failed(self.options.retry))
        if self.options.limit is not None:
            todo.keep(self.options.limit)
        return todo

    def _failed(self, kinds: tuple[str, ...]) -> dict[KernelId, int]:
        """The kernels that failed in such a way, each with the retry that comes next."""
        return {
            kernel_id: outcome.retry + 1
            for kernel_id, outcome in self.reader.rows.items()
            if outcome.status == "failure" and ("all" in kinds or outcome.failure_kind in kinds)
        }

    def _write_plan(self) -> None:
        write_plan(
            self.log_path,
            Plan(
                manifest=str(self.rows.path),
                kernels=self.todo.total,
                shards=self.plan.shards,
                settings=public_settings(self.settings),
                started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            ),
        )


def _chosen(only: tuple[int, ...], plan: ShardPlan) -> tuple[int, ...]:
    """The shards to send."""
    numbers = tuple(shard.number for shard in plan.shards)
    if unknown := sorted(set(only) - set(numbers)):
        raise UsageError(f"there is no shard {unknown[0]}: this manifest has 0 to {numbers[-1]}")
    return only or numbers


def _check_kinds(kinds: tuple[str, ...]) -> None:
    known = ("all", *get_args(FailureKind))
    if unknown := sorted(set(kinds) - set(known)):
        raise UsageError(f"--retry {unknown[0]}: there is {', '.join(known)}")
