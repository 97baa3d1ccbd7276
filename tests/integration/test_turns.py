"""Several dispatchers at once: no kernel runs twice, and none is left behind."""

import signal
import subprocess
import sys

import msgspec
import pytest

from hipopt.broker.app import connect
from hipopt.broker.turn import Turn, TurnLost
from hipopt.dispatch.dispatcher import DispatchOptions
from hipopt.settings import Settings
from hipopt.worker import child_environ
from tests.integration.conftest import ROOT, Processes, kernels, wait_for, write_manifest
from tests.integration.test_pipeline import (
    Dispatch,
    assert_each_once,
    dispatching,
    logged,
    runs,
)


def test_only_its_holder_sends(settings: Settings) -> None:
    """A turn excludes others, and one that was lost sends nothing though its holder goes on."""
    with connect(settings) as client:
        first, second = Turn(client, "hipopt", turn_s=0.2), Turn(client, "hipopt")
        assert first.take()
        assert not second.take()
        first.push("q", [b"1"])
        wait_for(second.take, "the turn ends by itself")
        with pytest.raises(TurnLost):
            first.push("q", [b"2"])
        with pytest.raises(TurnLost):
            first.renew()
        first.end()
        second.renew()
        assert client.lrange("q", 0, -1) == [b"1"]


def test_who_sends_again_knows_whether_others_did(settings: Settings) -> None:
    """Looking alone changes nothing for others; sending does, and so does a broker that forgot."""
    with connect(settings) as client:
        first, second = Turn(client, "hipopt"), Turn(client, "hipopt")
        assert first.alone
        assert second.alone
        assert first.take()
        first.push("q", [b"1"])
        first.end()
        assert first.alone
        assert not second.alone
        second.saw(second.last_sent())
        assert first.alone
        assert second.alone
        client.flushall()
        assert not first.alone


def test_two_dispatchers_at_once_repeat_nothing(settings: Settings, processes: Processes) -> None:
    """Two dispatchers with small windows and other shards, and a third that is of one shard.

    Every kernel runs once and is logged once.
    """
    write_manifest(settings, kernels(120, "slow 0.02"))
    processes.collector(settings)
    processes.worker(settings)
    options = DispatchOptions(window=18, grace_s=5.0)
    one = Dispatch(settings, options)
    two = Dispatch(msgspec.structs.replace(settings, shards=5), options)
    three = Dispatch(settings, DispatchOptions(window=9, grace_s=5.0, only_shards=(1,)))
    for each in (one, two, three):
        each.start()
    finals = [each.finish() for each in (one, two, three)]
    assert [final.resent for final in finals] == [0, 0, 0]
    assert_each_once(settings, 120)
    assert len(runs(settings)) == 120


def test_results_that_wait_are_not_run_again(settings: Settings, processes: Processes) -> None:
    """Kernels whose results wait unread at the broker are on their way for a second dispatcher."""
    write_manifest(settings, kernels(20))
    processes.worker(settings)
    with dispatching(settings), connect(settings) as client:
        wait_for(lambda: client.llen("hipopt.results") == 20, "all results wait")
    with dispatching(settings) as second:
        wait_for(lambda: second.latest and second.latest.on_their_way == 20, "they are found")
        processes.collector(settings)
        assert second.finish().resent == 0
    assert len(runs(settings)) == 20
    assert_each_once(settings, 20)


def test_a_dispatcher_revives_what_another_lost(settings: Settings, processes: Processes) -> None:
    """Tasks that vanish while two dispatchers watch are sent again, once."""
    write_manifest(settings, kernels(24))
    with dispatching(settings) as one, dispatching(settings) as two:
        for each in (one, two):
            wait_for(lambda d=each: d.latest and d.latest.on_their_way == 24, "both know of all")
        with connect(settings) as client:
            lost: list[bytes] = client.rpop("hipopt.shard.001", 5)  # type: ignore[assignment]
        assert len(lost) == 5
        processes.collector(settings)
        processes.worker(settings)
        assert one.finish().resent + two.finish().resent == 5
    assert_each_once(settings, 24)
    assert len(runs(settings)) == 24


PATHS = {"PYTHONPATH": str(ROOT)}
STAND_STILL = """
import sys, threading
import hipopt.broker.send
from hipopt.dispatch.dispatcher import Dispatcher, DispatchOptions
from hipopt.settings import load

batches = hipopt.broker.send._batches
def announced(*args):
    for batch in batches(*args):
        print("about to send", flush=True)
        sys.stdin.readline()
        yield batch
hipopt.broker.send._batches = announced
hipopt.broker.send.BATCH = 10
Dispatcher(load(), DispatchOptions(grace_s=1.0)).run(lambda _: None, threading.Event())
"""


def test_a_dispatcher_that_stood_still_sends_nothing_twice(
    settings: Settings, processes: Processes
) -> None:
    """A dispatcher stopped between looking and sending: another sends; woken, it finds so."""
    write_manifest(settings, kernels(30))
    with subprocess.Popen(
        [sys.executable, "-c", STAND_STILL], env=child_environ(settings) | PATHS,
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as still:  # fmt: skip
        assert still.stdin is not None
        assert still.stdout is not None
        assert still.stdout.readline()
        with connect(settings) as client, dispatching(settings) as other:
            client.delete("hipopt.turn")  # as if its time were over
            wait_for(lambda: other.latest and other.latest.on_their_way == 30, "the other sent")
            still.stdin.write(b"\n" * 20)
            still.stdin.flush()
            processes.collector(settings)
            processes.worker(settings)
            assert other.finish().resent == 0
        assert still.wait(30) == 0
    assert_each_once(settings, 30)
    assert len(runs(settings)) == 30


def test_a_killed_dispatchers_turn_passes(settings: Settings, processes: Processes) -> None:
    """A dispatcher killed amid its turn holds up another for no longer than the turn lasts."""
    write_manifest(settings, kernels(6))
    with connect(settings) as client:
        dead = Turn(client, "hipopt", turn_s=1.0)
        assert dead.take()
    processes.collector(settings)
    processes.worker(settings)
    with dispatching(settings) as dispatch:
        assert dispatch.finish().done == 6
    assert len(runs(settings)) == 6


def test_a_kernel_that_takes_nodes_down_fails_on_the_fourth(
    settings: Settings, processes: Processes
) -> None:
    """A kernel that kills its worker's main process three times gets its row, not a fourth node."""
    settings = msgspec.structs.replace(settings, lease_s=2, concurrency=1, shards=1)
    rows = [{"id": 0, "name": "bad", "code_body": "down"}, *kernels(4)[1:]]
    write_manifest(settings, rows)
    processes.collector(settings)
    with dispatching(settings, DispatchOptions(grace_s=20.0)) as dispatch:
        for _ in range(3):
            assert processes.worker(settings).wait(60) == -signal.SIGKILL
        processes.worker(settings)
        final = dispatch.finish()
    assert (final.done, final.succeeded, final.resent) == (4, 3, 0)
    assert [run[0] for run in runs(settings)].count("0") == 3
    (row,) = [row for row in logged(settings) if row["status"] == "failure"]
    assert (row["id"], row["failure_kind"]) == (0, "worker_lost")
    assert "node died 3 times" in str(row["error_message"])
    with connect(settings) as client:
        wait_for(lambda: not client.exists("hipopt.starts"), "no count is left")


def test_stops_and_trouble_are_not_held_against_a_kernel(
    settings: Settings, processes: Processes
) -> None:
    """A kernel that was put back by SIGTERM four times, or by trouble as often, still succeeds."""
    settings = msgspec.structs.replace(settings, lease_s=60, concurrency=1, shards=1)
    write_manifest(settings, kernels(1, "model_down"))
    processes.collector(settings)
    with dispatching(settings, DispatchOptions(grace_s=30.0)) as dispatch:
        worker = processes.worker(settings)
        wait_for(lambda: len(runs(settings)) >= 5, "trouble put it back several times")
        worker.terminate()
        worker.wait(20)
        (processes.folder / "model-is-up").touch()
        worker = processes.worker(settings)
        dispatch.finish()
        worker.terminate()
        worker.wait(20)
    write_manifest(settings, [{"id": 1, "name": "k", "code_body": "slow 4"}])
    with dispatching(settings, DispatchOptions(grace_s=30.0)) as dispatch:
        for count in range(1, 5):
            worker = processes.worker(settings)
            wait_for(lambda n=count: [r[0] for r in runs(settings)].count("1") == n, "it runs")
            worker.terminate()
            worker.wait(20)
        processes.worker(settings)
        assert dispatch.finish().resent == 0
    assert [row["status"] for row in logged(settings)] == ["success", "success"]
