"""The dispatcher: every kernel of the manifest that the log lacks gets a task, until none is left.

Guarantee: the log is the truth. A kernel is settled when the log says so and sent again when it
is neither settled nor anywhere on its way, so the loss of any worker, collector or broker heals.
A kernel that is on its way already, from this, an earlier or another dispatch, is not sent again.
Dispatchers take turns (`hipopt.turn`), and who finds that another has sent meanwhile looks before
sending. A row that is no kernel is said and left out. Price: one pass over manifest and log at the
start; now and then the waiting messages are read to see which kernels are on their way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import get_args

from celery import Celery
from kombu.exceptions import KombuError
from msgspec.structs import replace
from redis.exceptions import RedisError

from hipopt import queues
from hipopt.broker import connect, make_app, masked
from hipopt.errors import HipoptError, ManifestError, UsageError
from hipopt.logreader import LogReader
from hipopt.messages import MessageError, result_queue, shard_queue, task_id, task_kernel
from hipopt.plan import Plan, public_settings, read_plan, write_plan
from hipopt.records import FailureKind, KernelId, KernelTask, Record
from hipopt.rows import Rows
from hipopt.send import Envelopes, send_kernels
from hipopt.settings import Settings
from hipopt.shards import ShardPlan, keep_plan, plan_shards
from hipopt.todo import Todo
from hipopt.turn import Turn, TurnLost

logger = logging.getLogger(__name__)

TICK_S = 0.25
SETTLE_S = 0.5
"""Between two looks at what others sent: a message that moves is missed by one of them at most."""
AUDIT_S = 300.0
"""The messages on their way are checked this often even while all goes well."""
LONG_ID_CHARS = 20
"""Shorter ids are never hashed, however many characters JSON makes of each of theirs."""
MOST_NAMED = 10
"""So many rows that can't be sent are named as they are found, so that a log stays readable."""
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
        ids = self.rows.ids
        earlier = read_plan(settings.log)
        kept = keep_plan(earlier.shard_plan, ids, settings.shards) if earlier else None
        self.plan = kept or plan_shards(ids, settings.shards)
        self.todo = Todo(ids, self.plan, _chosen(options.only_shards, self.plan))
        self.todo.settle(self.reader.read_on())
        self.todo.do_again(self._failed(options.retry))
        if options.limit is not None:
            self.todo.keep(options.limit)
        self.bad_rows: list[str] = []
        """What is wrong with the kernels that were left out."""
        self.queues = [shard_queue(settings.namespace, s.number) for s in self.plan.shards]
        self._app: Celery = make_app(settings)
        self._client = connect(settings)
        self._turn = Turn(self._client, settings.namespace)
        self._envelopes = Envelopes(self._app, settings.namespace)
        self._resends: Counter[KernelId] = Counter()
        self._suspects: frozenset[KernelId] = frozenset()
        self._resent = 0
        self._results_waiting = 0
        self._away = False
        self._dry = False
        self._looked: float | None = None
        self._long_ids: dict[str, tuple[KernelId, int]] | None = None

    def run(self, on_progress: Callable[[Progress], None], stop: threading.Event) -> Progress:
        """Every kernel is settled, given up, or beyond the limit; or `stop` was set."""
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
            resent=self._resent,
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
            self._mark_sent(self._look(lambda: None).task_ids)
            answers = True
        except BROKER_ERRORS:
            answers = False
        for rank in self.todo.waiting_ranks():
            try:
                self._envelopes.message(self.rows.task(rank))
            except (ManifestError, MessageError) as error:
                self._say_bad(rank, error)
        return answers

    def _step(self) -> None:
        """The log read on, what is on its way checked if it is time, hungry shards refilled."""
        self.todo.settle(self.reader.read_on())
        try:
            if self._audit_is_due() or self._hungry():
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
            self._looked = None  # it may have forgotten everything
        self._away = False

    def _look_at_queues(self) -> None:
        results = result_queue(self.settings.namespace)
        depths = queues.depths(self._client, [results, *self.queues])
        self._results_waiting = depths.pop(results)
        self._dry = not any(depths.values())

    def _audit_is_due(self) -> bool:
        pace = self.options.grace_s if self._dry or self._suspects else AUDIT_S
        return self._looked is None or time.monotonic() - self._looked > pace

    def _take_turn(self) -> None:
        """What was due is done, unless it is another dispatcher's turn: then it stays due."""
        if not self._turn.take():
            return
        try:
            last = self._turn.last_sent()
            if not self._turn.alone or self._looked is None:
                self._join(last)
            elif self._audit_is_due():
                self._audit(self._look(self._turn.renew).task_ids)
            self._refill()
        except TurnLost as lost:
            logger.warning("stood still for too long to go on sending; looking anew")
            for kernel_id in lost.unsent:
                self.todo.take_back(kernel_id)
        finally:
            self._turn.end()

    def _join(self, last_sent: str | None) -> None:
        """What others have sent, before or beside us, is known."""
        found = self._look(self._turn.renew).task_ids
        if last_sent is not None:  # one look could miss a message between two places
            time.sleep(SETTLE_S)
            found |= self._look(self._turn.renew).task_ids
        self.todo.settle(self.reader.read_on())
        self._mark_sent(found)
        self._turn.saw(last_sent)
        self._audit(found)

    def _mark_sent(self, task_ids: frozenset[str]) -> None:
        """The kernels of these tasks are on their way, if as the retry that is asked for."""
        namespace, retries = self.settings.namespace, self.todo.retries
        for name in task_ids:
            found = task_kernel(namespace, name) or self._hashed().get(name)
            if found is not None and found[1] == retries.get(found[0], 0):
                self.todo.mark_sent(found[0])

    def _hashed(self) -> dict[str, tuple[KernelId, int]]:
        """The kernels whose ids are too long for their tasks' ids to tell."""
        if self._long_ids is None:
            retries = self.todo.retries
            long = (i for i in self.rows.ids if isinstance(i, str) and len(i) > LONG_ID_CHARS)
            names = ((self._task_id(i), i) for i in long)
            self._long_ids = {
                name: (i, retries.get(i, 0))
                for name, i in names
                if task_kernel(self.settings.namespace, name) is None
            }
        return self._long_ids

    def _task_id(self, kernel_id: KernelId) -> str:
        retry = self.todo.retries.get(kernel_id, 0)
        return task_id(self.settings.namespace, kernel_id, retry)

    def _look(self, on_page: Callable[[], None]) -> queues.Backlog:
        known = queues.registered(self._client, self.settings.namespace)
        everywhere = sorted({*known, *self.queues})  # other dispatches may have cut otherwise
        return queues.backlog(self._client, self.settings.namespace, everywhere, on_page)

    def _audit(self, found: frozenset[str]) -> None:
        """Kernels on their way are told from kernels that vanished.

        A kernel vanished if it was nowhere in two audits in a row, and the log lacks it still. One
        audit could miss it between two places.
        """
        namespace = self.settings.namespace
        kept = bool(queues.registered(self._client, namespace))
        queues.register(self._client, namespace, self.queues)
        self.todo.settle(self.reader.read_on())
        nowhere = frozenset(i for i in self.todo.sent() if self._task_id(i) not in found)
        vanished = nowhere & self._suspects if kept else nowhere
        self._suspects = nowhere - vanished
        self._send_again(vanished, count=kept)
        self._looked = time.monotonic()

    def _send_again(self, vanished: frozenset[KernelId], *, count: bool) -> None:
        """They wait again. A broker that forgot everything is not held against a kernel."""
        self._resends.update(vanished if count else ())
        hopeless = {i for i in vanished if self._resends[i] > self.options.resend}
        for kernel_id in hopeless:
            self.todo.give_up(kernel_id)
        for kernel_id in vanished - hopeless:
            self.todo.take_back(kernel_id)
        self._resent += len(vanished - hopeless)
        if vanished - hopeless:
            logger.warning("%d kernels fell through and are sent again", len(vanished - hopeless))
        if hopeless:
            logger.error(
                "%d kernels fell through %d times and are given up, %r among them: see the "
                "workers' logs for its id, then dispatch again",
                len(hopeless), self.options.resend + 1, next(iter(hopeless)),
            )  # fmt: skip

    def _hungry(self) -> dict[int, int]:
        """How many kernels each shard that ran low is to be sent."""
        share = max(self.options.window // len(self.plan.shards), 1)
        return self.todo.rooms(share if self.options.wait else None)

    def _refill(self) -> None:
        """Every shard that ran low has its share of the window on its way, if it has that many."""
        rooms = self._hungry()
        if not rooms:
            return
        namespace = self.settings.namespace
        send_kernels(self._turn, self._envelopes, namespace, self._kernels(rooms), self._refused)

    def _kernels(self, rooms: dict[int, int]) -> Iterator[KernelTask]:
        for shard, room in rooms.items():
            for rank in self.todo.take(shard, room):
                try:
                    kernel = self.rows.task(rank)
                except ManifestError as error:
                    self._leave_out(rank, error)
                    continue
                retry = self.todo.retries.get(kernel.id, 0)
                yield replace(kernel, shard=shard, retry=retry)

    def _refused(self, kernel: KernelTask, error: MessageError) -> None:
        rank = self.rows.ids.rank(kernel.id)
        assert rank is not None  # noqa: S101 (it came from there)
        self._leave_out(rank, error)

    def _leave_out(self, rank: int, error: HipoptError) -> None:
        """A kernel that can't be sent is said and not waited for."""
        self.todo.give_up(self.rows.ids[rank])
        self._say_bad(rank, error)
        if len(self.bad_rows) <= MOST_NAMED:
            logger.error("left out: %s", self.bad_rows[-1])

    def _say_bad(self, rank: int, error: HipoptError) -> None:
        text = str(error)
        if isinstance(error, MessageError):
            text = f"{self.rows.path}: {self.rows.place(rank)}: {text}"
        self.bad_rows.append(text)

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
