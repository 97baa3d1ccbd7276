"""`hipopt dispatch --retry`, `--limit` and `--dry-run` over a run that has failures."""

import subprocess
import sys
from collections import Counter

import pytest

from hipopt.dispatch.dispatcher import DispatchOptions
from hipopt.log.reader import LogReader
from hipopt.settings import Settings
from hipopt.worker import child_environ
from tests.integration.conftest import ROOT, Processes, kernels, write_manifest
from tests.integration.test_pipeline import dispatching, logged, runs

FAILED = (
    '{{"id":{id},"status":"failure","failure_kind":"{kind}","error_message":"x","name":"k{id}"}}\n'
)


def write_log(settings: Settings, kinds: dict[int, str]) -> None:
    assert settings.log is not None
    settings.log.write_text("".join(FAILED.format(id=i, kind=kind) for i, kind in kinds.items()))


def hipopt(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    """`hipopt WORDS` with these settings, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "hipopt", *words], env=child_environ(settings), cwd=ROOT,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kinds", "again"),
    [
        (("timeout",), {0, 1}),
        (("timeout", "crashed"), {0, 1, 2}),
        (("all",), {0, 1, 2, 3}),
    ],
)
def test_chosen_failures_are_done_again(
    settings: Settings, processes: Processes, kinds: tuple[str, ...], again: set[int]
) -> None:
    """Only those that failed so run again; their newer rows count, and a plain dispatch is idle."""
    write_manifest(settings, kernels(6))
    write_log(settings, {0: "timeout", 1: "timeout", 2: "crashed", 3: "mismatch"})
    processes.collector(settings)
    processes.worker(settings)
    with dispatching(settings, DispatchOptions(grace_s=5.0, retry=kinds)) as dispatch:
        final = dispatch.finish()
    assert (final.total, final.done) == (6, 6)
    assert Counter(int(run[0]) for run in runs(settings)) == Counter({*again, 4, 5})
    assert settings.log is not None
    reader = LogReader(settings.log)
    reader.poll()
    assert {i: row.retry for i, row in reader.rows.items()} == {
        i: int(i in again) for i in range(6)
    }
    with dispatching(settings) as dispatch:
        assert dispatch.finish().done == 6
    assert len(logged(settings)) == 6 + len(again)


def test_a_retry_that_is_on_its_way_is_not_sent_twice(
    settings: Settings, processes: Processes
) -> None:
    """A dispatch of retries that is given up and repeated runs each once."""
    write_manifest(settings, kernels(4))
    write_log(settings, dict.fromkeys(range(4), "timeout"))
    options = DispatchOptions(grace_s=5.0, retry=("all",))
    with dispatching(settings, options) as first:
        while not (first.latest and first.latest.on_their_way == 4):
            first.join(0.02)
    processes.collector(settings)
    processes.worker(settings)
    with dispatching(settings, options) as second:
        assert second.finish().resent == 0
    assert len(runs(settings)) == 4


def test_a_dry_run_tells_each_shard(settings: Settings) -> None:
    """Waiting, on their way and done of each shard; with no broker what is on its way waits."""
    write_manifest(settings, kernels(30))
    write_log(settings, {0: "timeout", 11: "crashed", 12: "timeout"})
    sent = hipopt(settings, "dispatch", "--detach", "--only-shard", "2", "--limit", "4")
    assert sent.returncode == 0, sent.stderr
    dry = hipopt(settings, "dispatch", "--dry-run", "--retry", "timeout")
    assert dry.returncode == 0, dry.stderr
    assert [line.partition(";")[0] for line in dry.stdout.splitlines()] == [
        "shard 0: 10 to send, 0 on their way, 0 done",
        "shard 1: 9 to send, 0 on their way, 1 done",
        "shard 2: 6 to send, 4 on their way, 0 done",
    ]
    alone = hipopt(settings, "dispatch", "--dry-run", "--broker", "redis://127.0.0.1:1/0")
    assert alone.returncode == 0
    assert "does not answer" in alone.stderr
    assert "shard 2: 10 to send, 0 on their way, 0 done" in alone.stdout


def test_the_options_are_explained(settings: Settings) -> None:
    """`--help` names every option of this page."""
    said = hipopt(settings, "dispatch", "--help").stdout
    for option in ("--retry KIND", "--only-shard N", "--limit", "--dry-run", "--detach"):
        assert option in said
