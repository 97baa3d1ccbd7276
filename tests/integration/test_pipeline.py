import threading
from collections import Counter

import msgspec

from hipopt.dispatch import DispatchOptions, dispatch
from hipopt.settings import Settings
from tests.integration.conftest import Processes, kernels, write_manifest


def logged(settings: Settings) -> list[dict[str, object]]:
    assert settings.log is not None
    return [msgspec.json.decode(line) for line in settings.log.read_bytes().splitlines()]


def test_every_kernel_is_logged_once(settings: Settings, processes: Processes) -> None:
    """Dispatcher, worker and collector together log each kernel of the manifest once."""
    write_manifest(settings, kernels(50))
    processes.collector(settings)
    processes.worker(settings)
    stop = threading.Event()
    threading.Timer(60, stop.set).start()
    final = dispatch(settings, DispatchOptions(grace_s=2), stop=stop)
    assert (final.done, final.succeeded, final.resent) == (50, 50, 0)
    assert Counter(row["id"] for row in logged(settings)) == Counter(range(50))
