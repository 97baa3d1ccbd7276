"""The bundled kernels under the microscope: honest code, so nothing may be found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hipopt.device.cpu.device import CpuDevice
from hipopt.device.interface import CodeObject, Fault, Launched, Schedule
from hipopt.judge.judge import Judge
from hipopt.records import Buffer, Scalar, Workload
from hipopt.source.capsule import Capsule
from hipopt.source.slice import slice_kernel
from hipopt.workload.fill import fill_workload
from tests.integration.examples import EXAMPLES, ROWS

SCHEDULES = (
    Schedule(),
    Schedule(threads="reverse", blocks="reverse"),
    Schedule(threads="shuffled", blocks="shuffled", seed=1),
)


def workload_of(row: dict[str, Any], capsule: Capsule, device: CpuDevice) -> Workload:
    """The smallest workload of a bundled kernel."""
    given = [Workload.from_json(w) for w in row.get("workloads", [])]
    return (given or Judge(device).find(capsule).workloads)[0]


def arguments(workload: Workload) -> list[NDArray[Any] | Scalar]:
    """The workload's arguments, filled."""
    buffers = iter(fill_workload(workload, 1))
    return [next(buffers) if isinstance(a, Buffer) else a for a in workload.args]


@pytest.mark.parametrize("number", sorted(ROWS))
def test_bundled_kernels_are_clean(cpu_device: CpuDevice, number: int) -> None:
    """No fault, race or lockstep in any order of threads and blocks, and the plain results."""
    row = ROWS[number]
    source = (EXAMPLES / row["hip_file"]).read_text()
    capsule = slice_kernel(source, row["name"], code_body=row["code_body"])
    workload = workload_of(row, capsule, cpu_device)
    plain = cpu_device.compile(capsule, workload.template, 60.0)
    looked_into = cpu_device.compile_instrumented(capsule, workload.template, 60.0)
    assert isinstance(plain, CodeObject)
    assert isinstance(looked_into, CodeObject)
    shape = workload.grid, workload.block, workload.lds_bytes
    with cpu_device.open(plain) as session, cpu_device.open_instrumented(looked_into) as other:
        assert session.load(*shape, arguments(workload)) is None
        assert isinstance(session.launch(10.0), Launched)
        expected = session.read()
        assert not isinstance(expected, Fault)
        assert other.load(*shape, arguments(workload)) is None
        for schedule in SCHEDULES:
            launched = other.launch(10.0, schedule)
            seen = other.observe()
            assert isinstance(launched, Launched), launched
            assert (seen.race, seen.lockstep, seen.barriers) == (None, None, None)
            assert seen.busy_threads > 0
            found = other.read()
            assert not isinstance(found, Fault)
            for one, another in zip(expected, found, strict=True):
                np.testing.assert_array_equal(one.view(np.uint8), another.view(np.uint8))
