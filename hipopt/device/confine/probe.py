"""Which layers this machine offers, and what gets out through all of them together.

Nothing is concluded from versions or settings: each layer is entered, and a program of ours really
tries to read, write, connect, signal and trace what it must not reach.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from hipopt.device.confine.confinement import Confinement, Layer, LayerName
from hipopt.device.confine.launcher import Launcher
from hipopt.errors import DeviceError

_TIMEOUT_S = 10.0

_BREACHES: Mapping[str, str] = {
    "descriptor": "inherits an open file",
    "read": "reads a file outside of its directory",
    "write": "writes a file outside of its directory",
    "connect": "connects to a port of this machine",
    "signal": "may signal the process that started it",
    "trace": "may trace the process that started it",
    "namespace": "may make namespaces of its own",
}


def probe(
    launcher: Launcher,
    directory: Path,
    environ: Mapping[str, str],
    read: Sequence[Path],
    write: Sequence[Path],
) -> Confinement:
    """What can be had of `launcher` here, each layer tried alone and then all against attempts.

    Raises:
        DeviceError: the launcher does not start, or the layers do not work together.
    """
    with tempfile.TemporaryDirectory(dir=directory, prefix="probe-") as name:
        scratch = Path(name)
        bare = Confinement(
            launcher=launcher.confine,
            read=(*read, launcher.attempts.parent),
            write=tuple(write),
            layers=(),
        )
        layers = tuple(_try(layer, bare, launcher, scratch, environ) for layer in LayerName)
        whole = msgspec.structs.replace(bare, layers=layers)
        with _temptations(scratch) as attempts:
            done = whole.run(
                [str(launcher.attempts), *attempts],
                scratch=scratch, environ=environ, timeout_s=_TIMEOUT_S,
            )  # fmt: skip
    if done.exit_code != 0:
        raise DeviceError(f"the sandbox's probe fails (exit code {done.exit_code}): {done.output}")
    done_names = (line.partition("=")[0] for line in done.output.splitlines())
    breaches = tuple(dict.fromkeys(_BREACHES.get(name, name) for name in done_names))
    return msgspec.structs.replace(whole, breaches=breaches)


def _try(
    name: LayerName,
    bare: Confinement,
    launcher: Launcher,
    scratch: Path,
    environ: Mapping[str, str],
) -> Layer:
    alone = msgspec.structs.replace(bare, layers=(Layer(name=name, missing=None),))
    try:
        alone.run([str(launcher.attempts)], scratch=scratch, environ=environ, timeout_s=_TIMEOUT_S)
    except DeviceError as error:
        return Layer(name=name, missing=str(error).rpartition(f"{name}: ")[2])
    return Layer(name=name, missing=None)


@contextmanager
def _temptations(scratch: Path) -> Iterator[list[str]]:
    """What a program that gets out could reach; the things are there while the context lasts."""
    with ExitStack() as stack:
        canaries = []
        for place in {tempfile.gettempdir(), str(Path.home()), str(scratch.parent)}:
            try:
                canary = tempfile.NamedTemporaryFile(dir=place, prefix=".hipopt-canary-")  # noqa: SIM115 (the stack closes it)
            except OSError:
                continue  # nothing of ours can be there to be read
            file = stack.enter_context(canary)
            file.write(b"canary")
            file.flush()
            canaries.append(f"read={file.name}")
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        outside = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hipopt-probe-")))
        yield [
            "descriptor=2",
            *canaries,
            f"write={outside / 'written'}",
            f"connect={listener.getsockname()[1]}",
            f"signal={os.getpid()}",
            f"trace={os.getpid()}",
            "namespace=",
        ]
