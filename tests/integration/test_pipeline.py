"""Dispatcher, workers and collector as separate processes, and everything that may befall them."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from hipopt.broker import queues
from hipopt.broker.app import connect, transport_options
from hipopt.dispatch.dispatcher import Dispatcher, DispatchOptions
from hipopt.dispatch.progress import Progress
from hipopt.records import KernelId
from hipopt.settings import Settings
from hipopt.status import gather
from tests.integration.conftest import Processes, RedisServer, kernels, wait_for, write_manifest

QUICK = DispatchOptions(grace_s=1.0)
AWAY = "is away, waiting for it"


def logged(settings: Settings) -> list[dict[str, object]]:
    assert settings.log is not None
    if not settings.log.exists():
        return []
    return [msgspec.json.decode(line) for line in settings.log.read_bytes().split(b"\n")[:-1]]


def runs(settings: Settings) -> list[list[str]]:
    """Id, process, parent and shard of every run of the stand-in, oldest first."""
    assert settings.log is not None
    file = settings.log.parent / "runs.txt"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


class Dispatch(threading.Thread):
    """A dispatch in the background, whose progress can be looked at."""

    def __init__(self, settings: Settings, options: DispatchOptions) -> None:
        super().__init__(daemon=True)
        self.enough = threading.Event()
        self.latest: Progress | None = None
        self.named: list[KernelId] = []
        """Kernels whose rows it was told of."""
        self._dispatcher = Dispatcher(settings, options)

    def run(self) -> None:
        self._dispatcher.run(self._look, self.enough, lambda row: self.named.append(row.id))

    def _look(self, progress: Progress) -> None:
        self.latest = progress

    def finish(self, timeout_s: float = 60.0) -> Progress:
        """The progress at the end, which must come in time."""
        self.join(timeout_s)
        assert not self.is_alive(), f"not done in {timeout_s:g} s: {self.latest}"
        assert self.latest is not None
        return self.latest


@contextmanager
def dispatching(settings: Settings, options: DispatchOptions = QUICK) -> Iterator[Dispatch]:
    thread = Dispatch(settings, options)
    thread.start()
    try:
        yield thread
    finally:
        thread.enough.set()
        thread.join(20)


def until_logged(settings: Settings, count: int) -> None:
    wait_for(lambda: len(logged(settings)) >= count, f"{count} rows in the log")


def assert_each_once(settings: Settings, count: int) -> None:
    assert Counter(row["id"] for row in logged(settings)) == Counter(range(count))


def test_every_kernel_is_run_and_logged_once(settings: Settings, processes: Processes) -> None:
    """Undisturbed, each kernel runs once and is logged once, in the shard of the plan."""
    write_manifest(settings, kernels(60))
    processes.collector(settings)
    processes.worker(settings)
    with dispatching(settings) as dispatch:
        final = dispatch.finish()
    assert (final.total, final.done, final.succeeded, final.resent) == (60, 60, 60, 0)
    assert final.shards_done == (20, 20, 20)
    assert sorted(map(str, dispatch.named)) == sorted(map(str, range(60)))
    assert_each_once(settings, 60)
    assert len(runs(settings)) == 60
    assert all(row["shard"] == int(str(row["id"])) // 20 for row in logged(settings))
    assert all("hipopt-" in str(row["worker"]) for row in logged(settings))


def test_a_second_dispatch_sends_nothing_that_is_done_or_on_its_way(
    settings: Settings, processes: Processes
) -> None:
    """A dispatcher that is killed and started again neither repeats nor loses a kernel."""
    write_manifest(settings, kernels(40))
    with dispatching(settings) as first:
        wait_for(lambda: first.latest and first.latest.on_their_way == 40, "all sent")
    processes.collector(settings)
    processes.worker(settings)
    with dispatching(settings) as second:
        second.finish()
    with dispatching(settings) as third:
        assert third.finish().done == 40
    assert third.named == []
    assert len(runs(settings)) == 40
    assert_each_once(settings, 40)


def test_a_dispatch_with_other_shards_sends_nothing_again(
    settings: Settings, processes: Processes
) -> None:
    """Kernels that wait in shards of an earlier plan are found there."""
    write_manifest(settings, kernels(40))
    with dispatching(msgspec.structs.replace(settings, shards=6)) as first:
        wait_for(lambda: first.latest and first.latest.on_their_way == 40, "all sent")
    processes.collector(settings)
    processes.worker(settings)
    with dispatching(msgspec.structs.replace(settings, shards=2)) as second:
        assert second.finish().resent == 0
    assert len(runs(settings)) == 40


def test_sigint_lets_a_worker_finish(settings: Settings, processes: Processes) -> None:
    """A worker that gets SIGINT finishes what it runs, however short the lease."""
    short = msgspec.structs.replace(settings, lease_s=2)
    write_manifest(short, kernels(2, "slow 5"))
    processes.collector(short)
    worker = processes.worker(short)
    with dispatching(short) as dispatch:
        wait_for(lambda: len(runs(short)) == 2, "both pool processes are busy")
        worker.send_signal(signal.SIGINT)
        processes.worker(short)
        worker.wait(12)
        assert dispatch.finish().resent == 0
    assert len(runs(short)) == 2
    assert_each_once(short, 2)


def test_sigterm_puts_running_kernels_back(settings: Settings, processes: Processes) -> None:
    """A worker that gets SIGTERM ends within seconds; another runs its kernels without delay."""
    settings = msgspec.structs.replace(settings, lease_s=60)
    write_manifest(settings, kernels(2, "slow 2"))
    processes.collector(settings)
    worker = processes.worker(settings)
    with dispatching(settings) as dispatch:
        wait_for(lambda: len(runs(settings)) == 2, "both pool processes are busy")
        worker.terminate()
        worker.wait(30)
        processes.worker(settings)
        assert dispatch.finish(20).resent == 0
    assert_each_once(settings, 2)


def test_a_small_window_is_refilled_until_all_is_done(
    settings: Settings, processes: Processes
) -> None:
    """However large the manifest, no more than the window is ever on its way."""
    write_manifest(settings, kernels(90))
    processes.collector(settings)
    processes.worker(settings)
    most: list[int] = []
    dispatcher = Dispatcher(settings, DispatchOptions(window=12, grace_s=5))
    dispatcher.run(lambda p: most.append(p.on_their_way), threading.Event())
    assert max(most) <= 12
    assert_each_once(settings, 90)
    assert len(runs(settings)) == 90


def test_killed_pool_processes_cost_no_kernel(settings: Settings, processes: Processes) -> None:
    """A pool process that dies by kill -9 has its kernel run again by another."""
    write_manifest(settings, kernels(12, "slow 0.3"))
    processes.collector(settings)
    processes.worker(settings)
    with dispatching(settings) as dispatch:
        for seen in (2, 6):
            wait_for(lambda n=seen: len(runs(settings)) > n, "kernels run")
            os.kill(int(runs(settings)[-1][1]), signal.SIGKILL)
        dispatch.finish()
    assert_each_once(settings, 12)
    assert all(row["status"] == "success" for row in logged(settings))


def test_a_kernel_that_kills_its_process_fails_after_four_runs(
    settings: Settings, processes: Processes
) -> None:
    """A poison kernel runs exactly 1 + 3 times, then its failure is logged; others don't suffer."""
    rows = [*kernels(6), {"id": 6, "name": "bad", "code_body": "poison"}]
    write_manifest(settings, rows)
    processes.collector(settings)
    processes.worker(settings)
    with dispatching(settings, DispatchOptions(grace_s=4.0)) as dispatch:
        final = dispatch.finish()
    assert (final.done, final.succeeded) == (7, 6)
    assert [run[0] for run in runs(settings)].count("6") == 4
    (row,) = [row for row in logged(settings) if row["status"] == "failure"]
    assert (row["id"], row["failure_kind"], row["name"]) == (6, "worker_lost", "bad")


def test_a_killed_worker_leaves_nothing_behind(settings: Settings, processes: Processes) -> None:
    """A worker killed by kill -9 takes its pool along; another takes over within the lease."""
    write_manifest(settings, kernels(4, "slow 2"))
    processes.collector(settings)
    doomed = processes.worker(settings)
    with dispatching(settings) as dispatch:
        wait_for(lambda: len(runs(settings)) == 2, "both pool processes are busy")
        pool = [int(run[1]) for run in runs(settings)]
        doomed.kill()
        doomed.wait()
        wait_for(lambda: not any(map(alive, pool)), "the pool is gone", 3)
        processes.worker(settings)
        final = dispatch.finish()
    assert (final.done, final.resent) == (4, 0)
    assert_each_once(settings, 4)
    assert len(runs(settings)) == 6


def test_a_killed_workers_kernels_start_elsewhere_within_a_minute(
    settings: Settings, processes: Processes
) -> None:
    """They start after the lease and one interval of looking; by default that is within 60 s."""
    usual = Settings()
    looking_s = transport_options(usual)["unacked_restore_interval"]
    assert usual.lease_s + looking_s <= 55
    write_manifest(settings, kernels(2, "slow 3"))
    processes.collector(settings)
    doomed = processes.worker(settings)
    with dispatching(settings, DispatchOptions(grace_s=60.0)) as dispatch:
        wait_for(lambda: len(runs(settings)) == 2, "both pool processes are busy")
        doomed.kill()
        doomed.wait()
        processes.worker(settings)
        wait_for(lambda: processes.logs().count(" ready.") == 2, "another worker is ready")
        began = time.monotonic()
        wait_for(lambda: len(runs(settings)) == 4, "both run again")
        took_s = time.monotonic() - began
        assert dispatch.finish().resent == 0
    # the lease, an interval of looking, and what a busy machine takes
    assert took_s < 4 * 1.25 + 10
    assert_each_once(settings, 2)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except OSError:
        return False


def test_a_long_task_outlives_its_lease(settings: Settings, processes: Processes) -> None:
    """A task much longer than the lease runs once, though another worker looks for work."""
    short = msgspec.structs.replace(settings, lease_s=2)
    write_manifest(short, kernels(2, "slow 5"))
    processes.collector(short)
    processes.worker(short)
    with dispatching(short) as dispatch:
        wait_for(lambda: len(runs(short)) == 2, "both run")
        processes.worker(short)
        dispatch.finish()
    assert len(runs(short)) == 2
    assert_each_once(short, 2)


def test_a_worker_learns_of_shards_it_was_not_told_of(
    settings: Settings, processes: Processes
) -> None:
    """A worker started before a dispatch of more shards than it knows serves all of them."""
    write_manifest(settings, kernels(22))
    processes.collector(settings)
    processes.worker(msgspec.structs.replace(settings, shards=1))
    with dispatching(msgspec.structs.replace(settings, shards=11)) as dispatch:
        dispatch.finish()
    assert {run[3] for run in runs(settings)} == {str(k) for k in range(11)}


def test_a_worker_of_one_shard_serves_no_other(settings: Settings, processes: Processes) -> None:
    """Chosen queues are all that a worker serves, and `only_shards` all that is sent."""
    write_manifest(settings, kernels(30))
    processes.collector(settings)
    processes.worker(settings, "hipopt.shard.001")
    with dispatching(settings) as everything:
        until_logged(settings, 10)
        wait_for(lambda: everything.latest and everything.latest.done == 10, "progress")
        with dispatching(settings, DispatchOptions(only_shards=(1,))) as only:
            assert only.finish().total == 10
    assert {run[3] for run in runs(settings)} == {"1"}


def test_shards_are_served_in_turn(settings: Settings, processes: Processes) -> None:
    """No shard waits for another to be done."""
    write_manifest(settings, kernels(90))
    processes.collector(settings)
    with dispatching(settings) as dispatch:
        wait_for(lambda: dispatch.latest and dispatch.latest.on_their_way == 90, "all sent")
        processes.worker(settings)
        dispatch.finish()
    early = Counter(run[3] for run in runs(settings)[:30])
    assert min(early[str(k)] for k in range(3)) >= 8


@pytest.mark.parametrize(
    ("word", "kind", "cure"),
    [
        ("model_down", "model_unavailable", "model-is-up"),
        ("device_sick", "device", "device-is-well"),
    ],
)
def test_trouble_on_our_side_is_never_a_result(
    settings: Settings, processes: Processes, word: str, kind: str, cure: str
) -> None:
    """While the model or a device is down nothing is logged; once it is back, all succeed."""
    write_manifest(settings, kernels(5, word))
    processes.collector(settings)
    processes.worker(settings)
    with dispatching(settings) as dispatch:
        wait_for(lambda: processes.logs().count(f"{kind} on hipopt-") >= 8, "trouble is reported")
        assert logged(settings) == []
        (processes.folder / cure).touch()
        final = dispatch.finish()
    assert (final.succeeded, final.resent, final.given_up) == (5, 0, 0)
    assert_each_once(settings, 5)


def test_a_fault_of_ours_is_given_up_and_said(settings: Settings, processes: Processes) -> None:
    """A kernel that trips over a bug is tried often enough, never logged, and the run ends."""
    write_manifest(settings, [*kernels(3), {"id": 3, "name": "k", "code_body": "fault"}])
    processes.collector(settings)
    processes.worker(settings)
    with dispatching(settings, DispatchOptions(grace_s=0.5, resend=1)) as dispatch:
        final = dispatch.finish()
    assert (final.done, final.given_up) == (3, 1)
    assert_each_once(settings, 3)
    assert "ZeroDivisionError: a fault of ours" in processes.logs()


def test_a_killed_collector_costs_no_row(settings: Settings, processes: Processes) -> None:
    """Collectors killed by kill -9 while rows arrive: in the end each is in the log once."""
    settings = msgspec.structs.replace(settings, lease_s=2)
    write_manifest(settings, kernels(150, "slow 0.01"))
    collector = processes.collector(settings)
    processes.worker(settings)
    with dispatching(settings) as dispatch:
        for count in (20, 60, 100):
            until_logged(settings, count)
            collector.kill()
            collector.wait()
            collector = processes.collector(settings)
        dispatch.finish()
    assert_each_once(settings, 150)


def test_sigterm_ends_a_collector_in_good_order(settings: Settings, processes: Processes) -> None:
    """SIGTERM ends a collector within seconds, exit code 0, what it took written or put back."""
    write_manifest(settings, kernels(30, "slow 0.02"))
    collector = processes.collector(settings)
    processes.worker(settings)
    with dispatching(settings) as dispatch:
        until_logged(settings, 5)
        collector.terminate()
        assert collector.wait(30) == 0
        processes.collector(settings)
        assert dispatch.finish().resent == 0
    assert_each_once(settings, 30)


def test_a_broker_that_forgets_everything_heals(
    redis_binary: Path, settings: Settings, processes: Processes, tmp_path: Path
) -> None:
    """Redis killed without persistence: all that is not in the log is sent again and done."""
    server = RedisServer(redis_binary, tmp_path)
    try:
        mine = msgspec.structs.replace(settings, broker_url=server.url)
        write_manifest(mine, kernels(60, "slow 0.05"))
        processes.collector(mine)
        processes.worker(mine)
        with dispatching(mine) as dispatch:
            until_logged(mine, 10)
            server.kill()
            wait_for(lambda: dispatch.latest and dispatch.latest.broker_away, "it is missed")
            wait_for(lambda: processes.logs().count(AWAY) == 2, "collector and worker say so")
            server.start()
            final = dispatch.finish()
        assert (final.done, final.given_up, final.broker_away) == (60, 0, False)
        assert final.resent > 0
        assert_each_once(mine, 60)
        assert processes.logs().count(AWAY) == 2  # each said so once
    finally:
        server.kill()


def test_a_lost_connection_repeats_no_kernel(
    redis_binary: Path, settings: Settings, processes: Processes, tmp_path: Path
) -> None:
    """Redis, which kept its file, is killed while kernels run: they go on, and run once."""
    server = RedisServer(redis_binary, tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    try:
        mine = msgspec.structs.replace(settings, broker_url=server.url, lease_s=3)
        write_manifest(mine, kernels(8, "slow 6"))
        processes.collector(mine)
        processes.worker(mine)
        with dispatching(mine) as dispatch:
            wait_for(lambda: len(runs(mine)) == 2, "both pool processes are busy")
            server.kill()
            wait_for(lambda: dispatch.latest and dispatch.latest.broker_away, "it is missed")
            server.start()
            final = dispatch.finish()
        assert (final.done, final.resent) == (8, 0)
        assert len(runs(mine)) == 8
        with connect(mine) as client:
            wait_for(lambda: queues.held_count(client, "hipopt") == 0, "nothing is held")
    finally:
        server.kill()


def test_lost_messages_are_sent_again(settings: Settings, processes: Processes) -> None:
    """Tasks that vanish from the broker are found missing and sent again, and only those."""
    write_manifest(settings, kernels(30))
    with dispatching(settings) as dispatch:
        wait_for(lambda: dispatch.latest and dispatch.latest.on_their_way == 30, "all sent")
        with connect(settings) as client:
            assert len(client.rpop("hipopt.shard.001", 4) or []) == 4  # type: ignore[arg-type]
        processes.collector(settings)
        processes.worker(settings)
        final = dispatch.finish()
    assert (final.done, final.resent) == (30, 4)
    assert len(runs(settings)) == 30


def test_status_needs_no_broker(settings: Settings, processes: Processes) -> None:
    """Status shows log, queues and workers; with the broker gone, what the log says."""
    write_manifest(settings, kernels(9))
    processes.collector(settings)
    worker = processes.worker(settings)
    with dispatching(settings) as dispatch:
        dispatch.finish()
    status = gather(settings)
    assert (status.total, status.done, status.succeeded) == (9, 9, 9)
    assert [(s.done, s.total) for s in status.shards] == [(3, 3)] * 3
    assert status.broker is not None
    assert [w.slots for w in status.broker.workers] == [2]
    assert sum(status.broker.queues.values()) == status.broker.held == 0
    worker.kill()
    alone = gather(msgspec.structs.replace(settings, broker_url="redis://127.0.0.1:1/0"))
    assert (alone.done, alone.broker) == (9, None)
    assert "127.0.0.1:1" in str(alone.broker_error)


def test_chaos_loses_nothing_and_repeats_nothing(settings: Settings, processes: Processes) -> None:
    """200 kernels, while pool processes, workers and collectors are killed: each is logged once."""
    choose = random.Random(7)
    settings = msgspec.structs.replace(settings, lease_s=2)
    write_manifest(settings, kernels(200, "slow 0.02"))
    worker, collector = processes.worker(settings), processes.collector(settings)
    with dispatching(settings) as dispatch:
        for count in range(15, 180, 20):
            until_logged(settings, count)
            victim = choose.choice(["pool", "worker", "collector"])
            if victim == "pool":
                kill_if_there(int(runs(settings)[-1][1]))
            elif victim == "worker":
                worker.kill()
                worker = processes.worker(settings)
            else:
                collector.kill()
                collector.wait()
                collector = processes.collector(settings)
        final = dispatch.finish()
    assert final.given_up == 0
    assert_each_once(settings, 200)
    with connect(settings) as client:
        wait_for(lambda: queues.held_count(client, "hipopt") == 0, "nothing is held", 15)


def kill_if_there(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
