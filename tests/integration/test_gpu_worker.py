"""The whole path on stand-in GPUs: dispatch, `hipopt worker --device amd`, collector, log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.events.state import State
from msgspec.structs import replace

from hipopt.broker.app import make_app
from hipopt.broker.cluster import BrokerStatus
from hipopt.device.cpu.device import CpuDevice
from hipopt.settings import Settings
from hipopt.status import gather
from hipopt.worker import child_environ
from tests.integration.conftest import ROOT, Processes, wait_for, write_manifest
from tests.standin_gpu.standin import StandIn, build

BUSES = ("0000:0a:00.0", "0000:1b:00.0")
KERNEL = """__global__ void scale(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2.0f * x[i];
}
"""
WORKLOAD = {
    "grid": [8],
    "block": [128],
    "args": [
        {"name": "x", "buffer": "float32", "length": 1000, "fill": "normal"},
        {"name": "y", "buffer": "float32", "length": 1000},
        {"name": "n", "scalar": "int32", "value": 1000},
    ],
}
LINE = "if (i < n) y[i] = 2.0f * x[i];"
CANDIDATES = {
    "right": "if (i < n) y[i] = x[i] + x[i];",
    "wrong": "if (i < n) y[i] = 3.0f * x[i];",
    "greedy": "__shared__ float s[65536]; s[threadIdx.x] = x[0]; __syncthreads(); y[i] = s[i & 7];",
}
"""A kernel's id, and what its candidate has in place of that line."""


@pytest.fixture
def standin(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, cpu_device: CpuDevice
) -> StandIn:
    """A node with ROCm's runtime and two GPUs of arch gfx90a, so it seems."""
    library = build(tmp_path_factory.mktemp("standin"))
    gpus = [("gfx90a", bus) for bus in BUSES]
    return StandIn(library, tmp_path / "rocm" / "lib", cpu_device, gpus, "libamdhip64.so")


class Node:
    """Starts hipopt's own commands where those GPUs are."""

    def __init__(self, settings: Settings, processes: Processes, standin: StandIn) -> None:
        self.settings = settings
        self._processes = processes
        self._environ = child_environ(settings) | {
            "ROCM_PATH": str(standin.library.parents[1]),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tests/standin_gpu/site"), str(ROOT)]),
        }

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """The command runs until the test is over."""
        argv = [sys.executable, "-m", "hipopt", *words]
        return self._processes.start(argv, self._environ, words[0])

    def finish(self, *words: str) -> None:
        """The command has ended well."""
        assert self.start(*words).wait(300) == 0, self._processes.logs()

    def rows(self) -> dict[str, dict[str, Any]]:
        """The log, each id once."""
        assert self.settings.log is not None
        lines = self.settings.log.read_text().splitlines() if self.settings.log.exists() else []
        rows = [json.loads(line) for line in lines]
        assert len({row["id"] for row in rows}) == len(rows)
        return {row["id"]: row for row in rows}


@pytest.fixture
def node(
    settings: Settings, processes: Processes, standin: StandIn, tmp_path: Path, amd_cache: Path
) -> Node:
    """Such a node, with a manifest of three kernels and one candidate for each."""
    candidates = tmp_path / "candidates.jsonl"
    rows = [{"id": i, "opt_kernel": KERNEL.replace(LINE, c)} for i, c in CANDIDATES.items()]
    candidates.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = replace(
        settings, candidates=candidates, cache_dir=amd_cache, slots_dir=tmp_path / "slots",
        device="amd", shards=1, concurrency=2, lease_s=20,
    )  # fmt: skip
    kernel = {"name": "scale", "code_body": KERNEL, "workloads": [WORKLOAD]}
    write_manifest(told, [{"id": i, **kernel} for i in CANDIDATES])
    return Node(told, processes, standin)


def retried(state: State) -> bool:
    """Whether Flower would show a kernel as one that is tried again for want of a GPU."""
    words = (task.exception or "" for task in state.tasks.values() if task.state == "RETRY")
    return any("no GPU of this node is in service" in each for each in words)


def until(app: Celery, state: State, holds: Callable[[], object]) -> None:
    """Returns once the condition holds of what Flower would know."""
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": state.event})
        for _ in receiver.itercapture(limit=None, timeout=240, wakeup=True):
            if holds():
                return


def asked(settings: Settings) -> BrokerStatus:
    """What `hipopt status` shows, as soon as the busy worker finds the time to answer it."""
    found: list[BrokerStatus | None] = []

    def answers() -> bool:
        found.append(gather(settings).broker)
        return found[-1] is not None and bool(found[-1].workers)

    wait_for(answers, "the worker answers")
    assert found[-1] is not None
    return found[-1]


def test_rows_of_gpus(node: Node) -> None:
    """Kernels for gfx90a wait for such a worker, and their rows hold device and resources."""
    node.start("collect")
    node.start("worker", "--device", "amd")
    node.finish("dispatch", "--arch", "gfx90a")
    rows = node.rows()
    assert sorted(rows) == sorted(CANDIDATES)
    attempts = {i: row["attempts"][0] for i, row in rows.items()}
    outcomes = {i: attempt["outcome"] for i, attempt in attempts.items()}
    assert outcomes.pop("right") in {"faster", "same", "slower", "inconclusive"}
    assert outcomes == {"wrong": "mismatch", "greedy": "compile_error"}
    assert attempts["right"]["resources"]["vgprs"] > 0
    judgement = rows["right"]["judgement"]
    assert judgement["device"] == "amd: Stand-in Instinct"
    assert judgement["timing"]["emulated"] is False


def test_sick_gpus(node: Node, standin: StandIn) -> None:
    """No kernel is blamed while all GPUs fail: status and Flower say so, and all goes on after."""
    for token in range(len(BUSES)):
        standin.fault(f"hipExtModuleLaunchKernel@{token}", "fault", 719, once=False)
    state = State()
    node.start("collect")
    node.start("worker")
    dispatch = node.start("dispatch")
    until(make_app(node.settings), state, lambda: retried(state))
    broker = asked(node.settings)
    assert broker.workers[0].arch == "gfx90a"
    told = broker.workers[0].out_of_service
    assert [bus in out for bus, out in zip(BUSES, told, strict=True)] == [True] * 2
    assert any("no GPU of this node is in service" in t.message for t in broker.troubles)
    assert node.rows() == {}
    standin.heal()
    slots = node.settings.slots_dir
    assert slots is not None

    def done() -> bool:
        for path in (slots / "gpu").glob("*.out"):  # a look that began before may still fail
            path.unlink(missing_ok=True)
        return dispatch.poll() is not None

    wait_for(done, "all is done on mended GPUs", 300)
    assert dispatch.returncode == 0
    assert sorted(node.rows()) == sorted(CANDIDATES)
    assert node.rows()["wrong"]["attempts"][0]["outcome"] == "mismatch"
