"""GPUs are found by a child, named for the variable that pins, and numbered by their bus."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from hipopt.device.gpu.detect import detect, unit_of
from hipopt.device.gpu.environment import child_environ
from hipopt.device.gpu.symbols import CUDA, HIP, CallFailed, HipRuntime
from hipopt.errors import DeviceError
from tests.standin_gpu.standin import StandIn


def test_found(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the runtime says: name, arch without its features, memory, waves, place."""
    monkeypatch.delenv("ROCR_VISIBLE_DEVICES", raising=False)
    assert detect("amd", standin.library) == [standin.gpu]


def test_visible_devices_are_kept(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that may use some GPUs only names them to its children as it was told."""
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "GPU-5f3c")
    (gpu,) = detect("amd", standin.library)
    assert gpu.token == "GPU-5f3c"
    assert gpu.pin() == {"ROCR_VISIBLE_DEVICES": "GPU-5f3c"}


def test_pinned_by_one_variable_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other variables that renumber GPUs don't reach a child."""
    for name in ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "3")
    visible = {k: v for k, v in child_environ({"ROCR_VISIBLE_DEVICES": "1"}).items() if "VISI" in k}
    assert visible == {"ROCR_VISIBLE_DEVICES": "1"}


@pytest.mark.parametrize(
    ("call", "action", "argument", "words"),
    [
        ("hipInit", "error", 100, "hipInit returned hipErrorNoDevice \\(100\\)"),
        ("hipGetDeviceCount", "die", 6, "SIGABRT"),
    ],
)
def test_a_runtime_that_does_not_work(
    standin: StandIn, call: str, action: str, argument: float, words: str
) -> None:
    """The message names the library, the call and its error, or the process's end."""
    standin.fault(call, action, argument, once=False)
    with pytest.raises(DeviceError, match=words):
        detect("amd", standin.library)


def test_no_runtime(tmp_path: Path) -> None:
    """A library that is not there is told by its path."""
    with pytest.raises(DeviceError, match="nowhere"):
        detect("amd", tmp_path / "nowhere.so")


def test_units() -> None:
    """The place on the bus is the number, and partitions of one GPU differ."""
    assert unit_of("0000:c1:00.0") != unit_of("0000:c1:00.1") != unit_of("0001:c1:00.0")


def test_errors_carry_names(standin: StandIn) -> None:
    """Every call's error comes with the call's name and the runtime's own word for it."""
    runtime = HipRuntime(str(standin.library))
    with pytest.raises(CallFailed, match="hipFree: hipErrorInvalidValue \\(1\\)"):
        runtime.free(4096)


def _entry_points(names: object) -> list[str]:
    return [n for n in vars(names).values() if isinstance(n, str)]


@pytest.mark.parametrize(("library", "names"), [("libamdhip64.so", HIP), ("libcuda.so.1", CUDA)])
def test_vendors_libraries_have_them(library: str, names: object) -> None:
    """Where a vendor's library is installed it has every entry point of our table."""
    try:
        loaded = ctypes.CDLL(library)
    except OSError:
        pytest.skip(f"{library} is not installed")
    assert [n for n in _entry_points(names) if not hasattr(loaded, n)] == []
