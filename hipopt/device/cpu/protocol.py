"""The messages between a session and its child, as runtime/main.cpp and fault.hpp lay them out."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from hipopt.device.interface import Direction, Rounding, Schedule

MAX_BUFFERS = 256
MAX_ARGUMENT_BYTES = 16 << 10
SLOT_BYTES = 16
"""Alignment of arguments in the block that holds them."""

_HEADER = struct.Struct("<II3I3IIIQQ")
_MAPPING = struct.Struct("<QQQ")
_ARGUMENTS_OFFSET = 6208
_COMMAND = struct.Struct("<II")
_SCHEDULE = struct.Struct("<IIIIQ")
_DIRECTIONS: tuple[Direction, ...] = ("forward", "reverse", "shuffled")
_ROUNDINGS: tuple[Rounding, ...] = ("nearest", "down", "up", "zero")
_MESSAGE = struct.Struct("<IIQQQ3I3I")

MESSAGE_BYTES = _MESSAGE.size

_WATCH = struct.Struct("<IIQQII")
_WATCHED_BUFFER = struct.Struct("<QQQ")
_WATCHED_LDS = struct.Struct("<II")
_LDS_OFFSET = _WATCH.size + MAX_BUFFERS * _WATCHED_BUFFER.size
MAX_LDS_ARRAYS = 512
"""The child has room for as many; a kernel decides how many it declares."""


class Say(IntEnum):
    """What the child says of itself."""

    STARTED = 1  # detail: errno of the filter, of Landlock in the upper half; 0: in force
    LOADED = 2  # detail: errno, 0 where the buffers are mapped
    DONE = 3  # the launch has ended
    SIGNAL = 4  # detail: signal, 256 if it read, 512 if it wrote; address: where
    FORBIDDEN_CALL = 5  # detail: system call number
    OUT_OF_MEMORY = 6
    DIVERGED_BARRIER = 7  # detail, address: the lines
    LDS_OVERRUN = 8
    STACK_OVERFLOW = 9
    ASSERTION = 10  # detail: the line
    RESET = 11  # nothing of earlier launches is left
    WATCHED = 12  # detail: errno, 0 where the microscope watches
    OUT_OF_BOUNDS = 13  # detail: bytes << 8 | Access; address: where
    UNDEFINED = 14  # detail: what; address: the line
    LDS_OUT_OF_BOUNDS = 15  # as OUT_OF_BOUNDS; address: bytes from the start of static LDS


class Message(NamedTuple):
    """One message of the child; nothing in it can make a verdict better."""

    say: Say
    sequence: int
    detail: int
    address: int
    instruction: int
    thread: tuple[int, int, int]
    block: tuple[int, int, int]


class Mapping(NamedTuple):
    """A stretch of the session's memory and where the child maps it, in whole pages."""

    address: int
    bytes: int
    offset: int


def parse(raw: bytes) -> Message | None:
    """The message; None where the bytes are none, as only the kernel's own writing could be."""
    if len(raw) != MESSAGE_BYTES:
        return None
    say, sequence, detail, address, instruction, *at = _MESSAGE.unpack(raw)
    if say not in set(Say):
        return None
    x, y, z, i, j, k = at
    return Message(Say(say), sequence, detail, address, instruction, (x, y, z), (i, j, k))


def load_request(
    sequence: int,
    grid: tuple[int, int, int],
    block: tuple[int, int, int],
    lds_bytes: int,
    area: tuple[int, int],
    mappings: Sequence[Mapping],
    arguments: bytes,
) -> bytes:
    """Tells the child to map buffers into `area` (address, bytes) and to keep the launch."""
    header = _HEADER.pack(1, sequence, *grid, *block, lds_bytes, len(mappings), *area)
    packed = header + b"".join(_MAPPING.pack(*m) for m in mappings)
    return packed.ljust(_ARGUMENTS_OFFSET, b"\0") + arguments


def launch_request(sequence: int, schedule: Schedule) -> bytes:
    """Tells the child to run what is loaded, once, in that order."""
    return _COMMAND.pack(2, sequence) + _SCHEDULE.pack(
        _DIRECTIONS.index(schedule.threads),
        _DIRECTIONS.index(schedule.blocks),
        _ROUNDINGS.index(schedule.rounding),
        0,
        schedule.seed % (1 << 64),
    )


def reset_request(sequence: int) -> bytes:
    """Tells the child to undo what launches left in its memory beside the buffers."""
    return _COMMAND.pack(3, sequence)


def watch_request(
    sequence: int,
    observation_address: int,
    room_bytes: int,
    buffers: Sequence[tuple[int, int, int]],
    lds_arrays: Sequence[tuple[int, int]],
) -> bytes:
    """Tells the child to watch buffers (address, bytes, bytes of an element) and static LDS.

    Arrays in LDS are (offset, bytes); an access to one beyond `MAX_LDS_ARRAYS` is out of bounds.
    """
    lds_arrays = lds_arrays[:MAX_LDS_ARRAYS]
    header = _WATCH.pack(
        4, sequence, observation_address, room_bytes, len(buffers), len(lds_arrays)
    )
    packed = header + b"".join(_WATCHED_BUFFER.pack(*b) for b in buffers)
    return packed.ljust(_LDS_OFFSET, b"\0") + b"".join(_WATCHED_LDS.pack(*a) for a in lds_arrays)
