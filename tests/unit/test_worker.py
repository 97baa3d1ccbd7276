"""What a worker is started with, and what it says where something lacks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from hipopt.cli.worker import command
from hipopt.device.cpu.device import CpuDevice
from hipopt.errors import BrokerError, ModelRefused, UsageError
from hipopt.settings import Settings
from hipopt.worker import (
    PER_CORE,
    PER_CORE_WITH_MODEL,
    default_concurrency,
    usable_cores,
    worker_argv,
)
from tests.model_endpoint import Endpoint, completion, error

NOBODY = ("--broker", "redis://127.0.0.1:1/0")


def test_concurrency_follows_cores_and_model() -> None:
    """More kernels are in work at once where a model keeps them waiting; a number given wins."""
    cores = usable_cores()
    recorded = Settings(replay=Path("replies.jsonl"))
    assert default_concurrency(recorded) <= PER_CORE * cores
    assert 1 <= default_concurrency(Settings(model="m")) <= PER_CORE_WITH_MODEL * cores
    argv = worker_argv(replace(recorded, concurrency=7))
    assert argv[argv.index("--concurrency") + 1] == "7"


@pytest.mark.parametrize(
    ("said", "cores"), [("50000 100000", 1), ("150000 100000", 2), ("900000000 100000", None)]
)
def test_a_containers_quota_counts(said: str, cores: int | None, tmp_path: Path) -> None:
    """Cores that the container may not use are not counted, a share of one is one."""
    (tmp_path / "cpu.max").write_text(f"{said}\n")
    most = len(os.sched_getaffinity(0))
    assert usable_cores(tmp_path / "cpu.max") == min(cores or most, most)


def test_no_quota_is_no_limit(tmp_path: Path) -> None:
    """Neither where the system says so, nor where it says nothing."""
    (tmp_path / "cpu.max").write_text("max 100000\n")
    for name in ("cpu.max", "missing"):
        assert usable_cores(tmp_path / name) == len(os.sched_getaffinity(0))


def test_names_tell_device_and_host() -> None:
    """Flower and logs show which device of which host a worker serves; no two share a name."""
    settings = Settings(device="cpu")
    names = {argv[argv.index("--hostname") + 1] for argv in map(worker_argv, [settings] * 2)}
    assert len(names) == 2
    assert all(name.startswith("hipopt-cpu-") and name.endswith("@%h") for name in names)


@pytest.fixture
def worker(cpu_device: CpuDevice) -> Callable[..., None]:
    """`hipopt worker ARGUMENTS`, up to what it objects to; a broker is never there."""

    def run(*arguments: str) -> None:
        cache = str(cpu_device._cache_dir.parent)
        command.main([*NOBODY, "--cache-dir", cache, *arguments], standalone_mode=False)

    return run


def test_what_lacks_is_said_before_it_starts(worker: Callable[..., None], tmp_path: Path) -> None:
    """No source of candidates, no such device, a model that refuses us, no broker: each by name."""
    replies = tmp_path / "replies.jsonl"
    replies.write_text('{"id": 1, "attempt": 1, "reply": "no"}\n')
    with pytest.raises(UsageError, match="pass --model"):
        worker()
    with pytest.raises(UsageError, match="--device amd or --device cpu"):
        worker("--device", "nvidia", "--replay", str(replies))
    with pytest.raises(BrokerError, match="--broker-url"):
        worker("--replay", str(replies))
    with Endpoint(error(401, "no such key")) as endpoint, pytest.raises(ModelRefused, match="401"):
        worker("--model", "m", "--base-url", endpoint.url)


def test_endpoints_are_tried(
    worker: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    """The worker says which model it asks where; one that is down doesn't keep it from starting."""
    with Endpoint(completion("yes")) as endpoint:
        with pytest.raises(BrokerError):
            worker("--model", "m", "--base-url", endpoint.url)
        assert f"model 'm' answers at {endpoint.url}" in capfd.readouterr().err
    with pytest.raises(BrokerError):
        worker("--model", "m", "--base-url", "http://127.0.0.1:9/v1")
    assert "kernels will wait for it" in capfd.readouterr().err
