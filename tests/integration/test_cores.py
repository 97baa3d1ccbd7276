"""Workers of one node share its cores: what is timed has one alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.device.interface import CodeObject
from tests.conftest import Emulator
from tests.integration.conftest import ROOT

NODE_WIDE = len(os.sched_getaffinity(0))


def start(cache: Path, factor: str) -> subprocess.Popen[str]:
    """A process that has all it needs to judge a kernel of its own, and waits for a word."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.judging", str(cache), factor],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def test_what_is_timed_has_its_core_alone(cpu_device: CpuDevice) -> None:
    """Two processes judge at once; no kernel's core runs the other's kernels or compilers.

    Every kernel and every compiler is bound to one core, and no two of different processes are ever
    on the same one at the same time.
    """
    cache = cpu_device._cache_dir.parent
    with start(cache, "1.5f") as one, start(cache, "2.5f") as other:
        both = (one, other)
        assert [p.stdout.readline() for p in both] == ["ready\n"] * 2  # type: ignore[union-attr]
        for process in both:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said: list[dict[str, Any]] = [json.loads(p.communicate()[0]) for p in both]
    assert {found["verdict"] for found in said} <= {"faster", "inconclusive"}
    mine, theirs = (found["intervals"] for found in said)
    for intervals in (mine, theirs):
        assert {kind for kind, *_ in intervals} == {"kernel", "compiler"}
        assert all(len(cores) == 1 for _, cores, _, _ in intervals)
    for (_, core, began, ended), (_, other_core, other_began, other_ended) in product(mine, theirs):
        assert core != other_core or ended <= other_began or other_ended <= began


@pytest.mark.skipif(NODE_WIDE < 2, reason="one core can't do two things at once")
def test_compilers_work_beside_a_kernel(cpu_device: CpuDevice, cpu: Emulator) -> None:
    """While one holds a core for its kernel, another process's compiler takes another core."""
    beside = CpuDevice(cpu_device._cache_dir.parent)
    with cpu_device.exclusive():
        assert len(os.sched_getaffinity(0)) == 1
        code = beside.compile(cpu.capsule("__global__ void k(int* x) { *x = 4711; }"), (), 60.0)
        assert isinstance(code, CodeObject)
    assert len(os.sched_getaffinity(0)) == NODE_WIDE


def test_holding_within_holding(cpu_device: CpuDevice) -> None:
    """A device that has a core keeps it where one is asked for again, until the first lets go."""
    with cpu_device.exclusive():
        core = os.sched_getaffinity(0)
        with cpu_device.exclusive():
            assert os.sched_getaffinity(0) == core
        assert os.sched_getaffinity(0) == core
    assert len(os.sched_getaffinity(0)) == NODE_WIDE


def test_devices_hold_different_cores(cpu_device: CpuDevice) -> None:
    """As many devices as there are cores hold one each."""
    others = [CpuDevice(cpu_device._cache_dir.parent) for _ in range(min(NODE_WIDE, 2))]
    held = []
    for device in others:
        with device.exclusive():
            held.append(device._cores.held)
    assert None not in held
    for one, other in combinations(others, 2):
        with one.exclusive(), other.exclusive():
            assert one._cores.held != other._cores.held
