"""What `hipopt status` makes of a log, and how it shows it; no broker."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace
from rich.console import Console

from hipopt.broker.cluster import BrokerStatus, RunningKernel, WorkerStatus
from hipopt.broker.troubles import Noted
from hipopt.cli.status import command
from hipopt.cli.statusview import duration, view
from hipopt.dispatch.plan import Plan, public_settings, write_plan
from hipopt.dispatch.shards import plan_shards
from hipopt.log.file import append_durably, damaged_path, rejected_path
from hipopt.records import KernelId
from hipopt.settings import Settings
from hipopt.status import Status, Watch, gather

NOBODY = "redis://127.0.0.1:1/0"


def row(kernel_id: KernelId, seconds_ago: float, **more: Any) -> str:
    finished = datetime.fromtimestamp(time.time() - seconds_ago, UTC).isoformat()
    plain = {"id": kernel_id, "status": "success", "name": f"k{kernel_id}", "speedup": 2.0}
    plain |= {"judgement": {"verdict": "faster", "timing": {"emulated": True}}}
    return json.dumps(plain | {"finished_at": finished} | more) + "\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a run of 40 kernels in two shards, 20 of them done; its broker is away."""
    log = tmp_path / "results.jsonl"
    failed = {"status": "failure", "failure_kind": "mismatch", "speedup": None}
    lines = [row(i, 6.0 * (20 - i), **(failed if i % 4 == 0 else {})) for i in range(20)]
    lines[1] = row(1, 6.0 * 19, speedup=8.0)
    log.write_text("".join(lines))
    found = Settings(log=log, manifest=tmp_path / "m.json", broker_url=NOBODY, shards=2)
    plan = plan_shards(list(range(40)), 2)
    write_plan(log, Plan(
        manifest="m.json", kernels=40, shards=plan.shards, settings=public_settings(found),
        started_at="2026-01-01T00:00:00+00:00",
    ))  # fmt: skip
    return found


def shown(status: Status, lines: int | None = None) -> str:
    console = Console(width=120, highlight=False)
    with console.capture() as capture:
        console.print(view(status, lines))
    return capture.get()


def asked(*arguments: str) -> Result:
    """`hipopt status ARGUMENTS`, with no settings from elsewhere."""
    return CliRunner(env={"HIPOPT_LOG": "", "HIPOPT_BROKER_URL": NOBODY}).invoke(
        command, arguments, standalone_mode=False
    )


def test_the_log_alone(settings: Settings) -> None:
    """Counts, pace, time left and speedups come from the log; why the broker is away is said."""
    status = gather(settings)
    assert (status.total, status.done, status.succeeded) == (40, 20, 15)
    assert status.failures == {"mismatch": 5}
    assert [(s.done, s.total) for s in status.shards] == [(20, 20), (0, 20)]
    assert status.rates.recent == pytest.approx(10.0, rel=0.3)
    assert status.seconds_left == pytest.approx(120.0, rel=0.3)
    assert status.speedups is not None
    assert (status.speedups.median, status.speedups.best) == (2.0, 8.0)
    assert status.speedups.geometric_mean == pytest.approx((2.0**14 * 8) ** (1 / 15))
    assert status.broker is None
    text = shown(status)
    assert "20 of 40 kernels" in text
    assert "says nothing about a GPU" in text
    assert "broker away" in text
    assert "--broker-url" in text


def test_rows_of_scripts_are_counted(settings: Settings) -> None:
    """A row with nothing but id and status, or with odd times, neither stops nor bends anything."""
    assert settings.log is not None
    with settings.log.open("a") as log:
        log.write('{"id": 20, "status": "success"}\n')
        log.write('{"id": 21, "status": "success", "finished_at": "noon", "speedup": "high"}\n')
        log.write('{"id": 22, "status": "failure", "finished_at": 5}\nno row\n')
    status = gather(settings)
    assert (status.done, status.bad_lines, status.failures["unknown"]) == (23, 1, 1)
    assert status.rates.recent == pytest.approx(10.0, rel=0.3)
    assert status.speedups is not None
    assert status.speedups.count == 15


def test_what_was_set_aside_is_counted(settings: Settings) -> None:
    """Lines of the files beside the log are told by file; where there are none, nothing is said."""
    assert settings.log is not None
    assert gather(settings).set_aside == {}
    assert "set aside" not in shown(gather(settings))
    append_durably(damaged_path(settings.log), [b"{", b"\x00"])
    append_durably(rejected_path(settings.log), [b"no result"])
    status = gather(settings)
    assert status.set_aside == {"results.jsonl.damaged": 2, "results.jsonl.rejected.jsonl": 1}
    words = "set aside beside the log: 2 lines in results.jsonl.damaged, 1 line in"
    assert words in " ".join(shown(status).split())


def test_a_second_look_reads_on(settings: Settings) -> None:
    """What was appended is added, a row that supersedes takes its place, a new log is new."""
    assert settings.log is not None
    watch = Watch(settings)
    watch.look()
    with settings.log.open("a") as log:
        log.write(row(0, 0.0, speedup=32.0, retry=1) + row(20, 0.0, speedup=4.0))
    status = watch.look()
    assert (status.done, status.failures, status.superseded) == (21, {"mismatch": 4}, 1)
    assert status.speedups is not None
    assert (status.speedups.count, status.speedups.best) == (17, 32.0)
    settings.log.unlink()
    settings.log.write_text(row(5, 0.0, speedup=3.0))
    status = watch.look()
    assert status.speedups is not None
    assert (status.done, status.speedups.count, status.speedups.best) == (1, 1, 3.0)


def test_neither_log_nor_broker(tmp_path: Path) -> None:
    """Each absence is told in a line, and the exit code says that nothing was found."""
    found = asked("--log", str(tmp_path / "none.jsonl"))
    assert found.return_value == 1
    assert "not on this host" in found.output
    assert "broker away" in found.output
    assert "no log given" in asked().output


def test_json_has_every_field(settings: Settings) -> None:
    """`--json` prints one object that a program can rely on, with its schema's number."""
    found = asked("--json", "--log", str(settings.log))
    assert found.return_value == 0
    plain = json.loads(found.output)
    assert set(plain) == set(Status.__struct_fields__)
    assert plain["schema"] == 1
    assert plain["rates"]["recent_s"] <= 300


def test_the_whole_picture(settings: Settings) -> None:
    """Workers with what they run, queues, collector and troubles stand in what a person sees."""
    status = gather(settings)
    worker = WorkerStatus(
        name="hipopt-cpu-1a2b3c@node1", host="node1", device="cpu", slots=8, up_s=7300.0,
        running=(RunningKernel(id="7", name="relu", shard=1, seconds=75.0),),
    )  # fmt: skip
    trouble = Noted(
        kind="model_unavailable", message="http://llm does not answer", worker=worker.name,
        first_at="2026-01-01T00:00:00+00:00", last_at=status.at, count=31,
    )  # fmt: skip
    broker = BrokerStatus(
        queues={"run.shard.000": 0, "run.shard.001": 17, "run.results": 2}, waiting=17, results=2,
        held=3, collector="head, process 4711", workers=(worker, replace(worker, host="node2")),
        troubles=(trouble,), rejected=2,
    )  # fmt: skip
    text = shown(replace(status, broker=broker, broker_error=None))
    for words in (
        "1/8 2 h 1 min 7 relu, 1 min 15 s", "2 workers on 2 hosts, 2 of 16 slots busy",
        "17 kernels wait, 2 run, 2 results wait; 1 more held", "collector: head, process 4711",
        "2 messages set aside that hipopt did not send",
        "model_unavailable 31 0 s ago node1 http://llm does not answer",
    ):  # fmt: skip
        assert words in " ".join(text.split()), text
    shard = next(line for line in text.splitlines() if line.startswith("1 "))
    assert shard.split()[-3:] == ["0/20", "17", "2"]


def test_many_shards_show_those_in_work(settings: Settings) -> None:
    """Of hundreds of shards only some that are not done are listed."""
    status = gather(settings)
    many = tuple(replace(status.shards[n % 2], number=n) for n in range(300))
    text = shown(replace(status, shards=many))
    assert "of 300 shards, 150 are done" in text
    assert len(text.splitlines()) < 50
    text = shown(replace(status, shards=many), lines=30)
    assert len(text.splitlines()) <= 30
    assert "broker away" in text


def test_durations() -> None:
    """At most two units, and none that is 0."""
    found = [duration(s) for s in (0.4, 61, 300, 3600, 3725, 200_000)]
    assert found == ["0 s", "1 min 1 s", "5 min", "1 h", "1 h 2 min", "2 days 7 h"]
