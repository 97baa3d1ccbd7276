"""Which GPUs this machine has, as the vendor's runtime tells a child process."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from hipopt.device.gpu.attempt import START_TIMEOUT_S
from hipopt.device.gpu.channel import Channel, Ended
from hipopt.device.gpu.environment import child_environ
from hipopt.device.gpu.gpu import Gpu, GpuKind
from hipopt.errors import DeviceError
from hipopt.records import Record

VISIBLE = {"amd": "ROCR_VISIBLE_DEVICES", "nvidia": "CUDA_VISIBLE_DEVICES"}


class _Found(Record, frozen=True, kw_only=True):
    """A device as the child tells of it."""

    name: str
    arch: str
    memory_bytes: int
    wave_size: int
    compute_units: int
    lds_bytes: int
    bus_id: str


def detect(kind: GpuKind, library: Path) -> list[Gpu]:
    """The GPUs that this process may use: all, or those that `VISIBLE` names.

    Raises:
        DeviceError: the runtime can't be loaded or does not work, or says what makes no sense.
    """
    visible = os.environ.get(VISIBLE[kind])
    found = _ask(kind, library, {} if visible is None else {VISIBLE[kind]: visible})
    tokens = [str(n) for n in range(len(found))]
    if visible is not None:
        tokens = [token.strip() for token in visible.split(",") if token.strip()]
    if len(tokens) < len(found):
        raise DeviceError(
            f"{VISIBLE[kind]}={visible} names {len(tokens)} GPUs, the runtime shows {len(found)}"
        )
    return [_gpu(kind, library, token, one) for token, one in zip(tokens, found, strict=False)]


def unit_of(bus_id: str) -> int:
    """The number of a GPU's slot: its place on the bus, the same for every process of the node."""
    digits = "".join(c for c in bus_id if c.isalnum())
    return int(digits, 16)


def _gpu(kind: GpuKind, library: Path, token: str, found: _Found) -> Gpu:
    told = msgspec.structs.asdict(found)
    return Gpu(kind=kind, library=library, token=token, unit=unit_of(found.bus_id), **told)


def _ask(kind: GpuKind, library: Path, pin: dict[str, str]) -> list[_Found]:
    channel = Channel(child_environ(pin))
    try:
        request = {"do": "describe", "kind": kind, "library": str(library)}
        reply = channel.ask(request, time.monotonic() + START_TIMEOUT_S)
        return msgspec.convert(reply.get("found"), list[_Found])
    except Ended as ended:
        raise DeviceError(f"{library}: no GPU can be used: {ended.describe()}") from None
    except msgspec.ValidationError as error:
        raise DeviceError(f"{library}: the runtime describes no GPU: {error}") from None
    finally:
        channel.close()
