"""Kernels for GPUs of one arch are taken by workers that have such GPUs, and by no others."""

from __future__ import annotations

import threading

from msgspec.structs import replace
from rich.console import Console

from hipopt.cli.statusview import view
from hipopt.dispatch.dispatcher import Dispatcher, DispatchOptions
from hipopt.settings import Settings
from hipopt.status import gather
from tests.integration.conftest import Processes, kernels, wait_for, write_manifest
from tests.integration.test_pipeline import logged, until_logged


def dispatch(settings: Settings, shards: tuple[int, ...], *, wait: bool) -> None:
    """The shards' kernels were sent for the settings' arch, and are done if that is waited for."""
    options = DispatchOptions(only_shards=shards, wait=wait)
    Dispatcher(settings, options).run(lambda _: None, threading.Event())


def shown(settings: Settings) -> str:
    """What `hipopt status` prints."""
    console = Console(width=200)
    with console.capture() as capture:
        console.print(view(gather(settings)))
    return capture.get()


def test_workers_take_what_they_can_do(settings: Settings, processes: Processes) -> None:
    """Through trouble and back, kernels for gfx90a stay with its worker; others wait for theirs."""
    gfx90a = replace(settings, device="amd", arch="gfx90a")
    gfx942 = replace(gfx90a, arch="gfx942")
    write_manifest(settings, kernels(6, "device_sick"))
    dispatch(gfx942, (0,), wait=False)
    processes.collector(settings)
    processes.worker(settings)
    processes.worker(gfx90a)
    dispatch(gfx90a, (1, 2), wait=False)
    wait_for(lambda: processes.logs().count("device on hipopt-amd") >= 4, "trouble is reported")
    (processes.folder / "device-is-well").touch()
    until_logged(settings, 4)
    assert "2 kernels for gfx942, and no worker has such a GPU" in shown(settings)
    processes.worker(gfx942)
    dispatch(gfx942, (0,), wait=True)
    assert {row["id"] for row in logged(settings)} == set(range(6))
    assert all(str(row["worker"]).startswith("hipopt-amd-") for row in logged(settings))
    assert "no worker has such a GPU" not in shown(settings)
