"""What the microscope wrote down of a launch, put into words.

It is the word of the process that ran the candidate. Instrumented code can't write there, so
only what gets around the instrumentation could forge it: nothing here may make a verdict better.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from hipopt.device.cpu.arguments import name_of
from hipopt.device.cpu.compiler import LdsArray
from hipopt.device.cpu.lines import source_line
from hipopt.device.cpu.memory import Placement
from hipopt.device.cpu.protocol import MAX_BUFFERS
from hipopt.device.interface import Conflict, Parameter, Reach

_HEADER = struct.Struct("<QII")
_CONFLICT = struct.Struct("<IIqQIIQQIIQQ")
_REACH = struct.Struct("<qqqq")
_IN_LDS = 0xFFFF_FFFF
_IN_GLOBALS = 0xFFFF_FFFE

REPORT_BYTES = _HEADER.size + 2 * _CONFLICT.size + MAX_BUFFERS * _REACH.size

_Dims = tuple[tuple[int, int, int], tuple[int, int, int]]


class Access(IntEnum):
    """How memory was accessed."""

    READ = 0
    WRITE = 1
    ATOMIC = 2


_VERBS = {Access.READ: "reads", Access.WRITE: "writes", Access.ATOMIC: "atomically changes"}


class Party(NamedTuple):
    """One of two accesses in conflict."""

    thread: int
    access: int
    block: int
    instruction: int


class Seen(NamedTuple):
    """Two accesses in conflict, as the child wrote them down."""

    place: int
    """A buffer's index, or one of the two above."""
    offset: int
    """Bytes from that place's start."""
    bytes: int
    earlier: Party
    later: Party


class Report(NamedTuple):
    """The child's report."""

    busy_threads: int
    barriers: tuple[int, int] | None
    """Lines of barriers that waves of one block waited at together."""
    race: Seen | None
    lockstep: Seen | None
    reaches: tuple[Reach, ...]


class Scene(NamedTuple):
    """What a conflict's numbers refer to."""

    program: Path
    dims: _Dims
    """Grid and block."""
    placements: Sequence[Placement]
    parameters: Sequence[Parameter]
    lds_arrays: Sequence[LdsArray]


def parse(raw: bytes, buffers: int) -> Report:
    """The child's report on a launch with that many buffers."""
    busy, *lines = _HEADER.unpack_from(raw)
    first = _HEADER.size
    reaches = first + 2 * _CONFLICT.size
    return Report(
        busy_threads=busy,
        barriers=(lines[0], lines[1]) if lines[0] else None,
        race=_seen(raw, first),
        lockstep=_seen(raw, first + _CONFLICT.size),
        reaches=tuple(_reach(raw, reaches + i * _REACH.size) for i in range(buffers)),
    )


def _seen(raw: bytes, offset: int) -> Seen | None:
    found, place, at, size, *parties = _CONFLICT.unpack_from(raw, offset)
    if not found:
        return None
    return Seen(place, at, size, Party(*parties[:4]), Party(*parties[4:]))


def _reach(raw: bytes, offset: int) -> Reach:
    low, high, written_low, written_high = _REACH.unpack_from(raw, offset)
    return Reach(
        read=(low, high) if low < high else None,
        written=(written_low, written_high) if written_low < written_high else None,
    )


def describe(seen: Seen | None, scene: Scene, *, within_wave: bool) -> Conflict | None:
    """The conflict in a sentence; None where there is none."""
    if seen is None:
        return None
    apart = seen.earlier.block != seen.later.block
    if within_wave:
        why = "only lockstep could order these lanes of one wave"
    elif apart:
        why = "nothing orders these blocks"
    else:
        why = "no barrier between them"
    reason = (
        f"{_place(seen, scene)}: {_party(seen.earlier, scene)} and "
        f"{_party(seen.later, scene)}, {why}"
    )
    return Conflict(reason=reason, within_wave=within_wave)


def describe_barriers(lines: tuple[int, int] | None) -> str | None:
    """The barriers that waves met at, where they differ, in a sentence."""
    if lines is None:
        return None
    return f"waves of one block wait at different barriers, lines {lines[0]} and {lines[1]}"


def lds_place(offset: int, arrays: Sequence[LdsArray]) -> str:
    """The array in LDS that the offset lies in or behind."""
    before = [a for a in arrays if a.offset <= offset]
    if not before:
        return f"LDS byte {offset}"
    array = max(before, key=lambda a: a.offset)
    name = f"LDS array '{array.name}'" if array.name else "dynamic LDS"
    return f"{name}, byte {offset - array.offset}"


def _place(seen: Seen, scene: Scene) -> str:
    if seen.place == _IN_LDS:
        return lds_place(seen.offset, scene.lds_arrays)
    pointers = [(i, p) for i, p in enumerate(scene.parameters) if p.is_pointer]
    if seen.place >= min(len(pointers), len(scene.placements)):
        return "a device global"
    number, parameter = pointers[seen.place]
    element = seen.offset // scene.placements[seen.place].itemsize
    return f"{name_of(parameter, number)}, element {element}"


def _party(party: Party, scene: Scene) -> str:
    grid, block = scene.dims
    verb = _VERBS.get(Access(party.access) if party.access < len(Access) else Access.WRITE, "")
    line = source_line(scene.program, party.instruction)
    where = f" in line {line}" if line is not None else ""
    thread, at = _dim(party.thread, block), _dim(party.block, grid)
    return f"thread {thread} of block {at} {verb} it{where}"


def _dim(index: int, size: tuple[int, int, int]) -> str:
    row = index // size[0]
    return f"({index % size[0]},{row % size[1]},{row // size[1]})"
