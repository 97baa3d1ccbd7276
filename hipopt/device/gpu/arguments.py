"""A launch's arguments, packed as the compiled kernel reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from hipopt.device.cpu.arguments import pack_scalar
from hipopt.device.gpu.gpu import ArgumentSlot
from hipopt.records import Scalar


def pack(
    layout: Sequence[ArgumentSlot],
    args: Sequence[NDArray[Any] | Scalar],
    addresses: Sequence[int],
) -> bytes:
    """The block of arguments; buffers as the given addresses, in order."""
    pointers = iter(addresses)
    block = bytearray(max((slot.offset + slot.size for slot in layout), default=0))
    for slot, arg in zip(layout, args, strict=True):
        value = (
            pack_scalar(arg) if isinstance(arg, Scalar) else next(pointers).to_bytes(8, "little")
        )
        block[slot.offset : slot.offset + len(value)] = value
    return bytes(block)
