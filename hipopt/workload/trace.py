"""A launch looked at under the microscope: how far it reaches, who works, what goes wrong."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hipopt.device.interface import (
    CodeObject,
    Fault,
    Microscope,
    MicroscopeSession,
    Observation,
)
from hipopt.records import Buffer, Workload
from hipopt.workload.fill import fill_workload
from hipopt.workload.types import ArgumentType

ROOM_BYTES = 64 << 20
"""How far beyond a buffer's ends a kernel may reach while its length is being found out."""

MAX_BUFFER_BYTES = 16 << 20
_ROUNDS = 6
_SLACK = 4
"""A share of a buffer's length that is added where its reach depends on the draw."""
_SEEDS = (0x5EED1, 0x5EED2)

Trouble: TypeAlias = Literal["fault", "before", "beyond", "idle", "slow"]

Build: TypeAlias = "Callable[[Mapping[str, int]], Workload]"
"""A workload whose buffers have these lengths, by name."""


class Sight(NamedTuple):
    """What was seen of a launch."""

    workload: Workload
    """With buffers as long as what is reached."""
    threads: int
    busy: int
    read: frozenset[str]
    """Buffers that are read."""
    written: frozenset[str]
    reaches: tuple[tuple[int, int], ...]
    """Bytes reached in each buffer, lowest and behind the highest."""
    trouble: Trouble | None
    reason: str
    """One clause that says what the trouble is; empty where there is none."""
    seconds: float = 0.0
    """Wall seconds that the look took."""
    race: str | None = None
    """What two threads do to the same bytes, where nothing orders them."""

    @property
    def blocks(self) -> int:
        """Blocks of the launch."""
        x, y, z = self.workload.grid
        return x * y * z


class Tracer:
    """Traces launches of one compiled kernel; a fault costs a fresh session. A context manager."""

    def __init__(
        self, microscope: Microscope, code: CodeObject, types: Sequence[ArgumentType],
        timeout_s: float,
    ) -> None:  # fmt: skip
        self._microscope = microscope
        self._code = code
        self._types = [t for t in types if t.is_pointer]
        self._timeout_s = timeout_s
        self._stack = ExitStack()
        self._session: MicroscopeSession | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:  # fmt: skip
        self._close()

    def trace(
        self, build: Build, lengths: Mapping[str, int], patience_s: float = math.inf
    ) -> Sight:
        """What the launch does; buffers grow from `lengths` until all that it reaches is theirs.

        It runs with random content and with the most extreme that each fill allows, so that the
        lengths hold for other seeds too. After `patience_s` it is run no more, which is a trouble.
        """
        begun = time.monotonic()
        sight = self._trace(build, dict(lengths), begun + patience_s)
        return sight._replace(seconds=time.monotonic() - begun)

    def _trace(self, build: Build, lengths: dict[str, int], deadline: float) -> Sight:
        for _ in range(_ROUNDS):
            workload = build(lengths)
            seen: list[Observation] = []
            for variant in range(len(_SEEDS) + 1):
                one = self._look(workload, variant)
                if isinstance(one, str):
                    return _bad(workload, "fault", one)
                seen.append(one)
                if time.monotonic() > deadline:
                    return _bad(workload, "slow", "it takes long to look at")
            sight = _joined(workload, seen)
            if sight.trouble is not None:
                return sight
            reaches = _with_slack(workload, sight, seen)
            wanted = _lengths(workload, reaches, self._types)
            shrinks = any(
                b.fill == "sorted" and wanted[b.name] < b.length for b in workload.buffers
            )
            if shrinks:  # a shorter sorted buffer holds other values
                lengths = wanted
                continue
            if all(wanted[b.name] <= b.length for b in workload.buffers):
                return sight._replace(workload=build(wanted))
            lengths = {b.name: max(b.length, wanted[b.name]) for b in workload.buffers}
        return _bad(workload, "beyond", "the more memory it is given, the further it reaches")

    def _look(self, workload: Workload, variant: int) -> Observation | str:
        session = self._open()
        arrays = iter(_content(workload, variant))
        args = [next(arrays) if isinstance(a, Buffer) else a for a in workload.args]
        fault = session.load(
            workload.grid, workload.block, workload.lds_bytes, args, room_bytes=ROOM_BYTES
        )
        done = fault or session.launch(self._timeout_s)
        if isinstance(done, Fault):
            self._close()
            return done.reason
        return session.observe()

    def _open(self) -> MicroscopeSession:
        if self._session is None:
            session = self._microscope.open_instrumented(self._code)
            self._session = self._stack.enter_context(session)
        return self._session

    def _close(self) -> None:
        self._session = None
        self._stack.close()


def _content(workload: Workload, variant: int) -> list[NDArray[Any]]:
    """Random content; the last variant takes the greatest values that an index may have."""
    if variant < len(_SEEDS):
        return fill_workload(workload, _SEEDS[variant])
    arrays = fill_workload(workload, _SEEDS[0])
    for buffer, array in zip(workload.buffers, arrays, strict=True):
        if buffer.fill == "index":
            array[:] = (buffer.below or buffer.length) - 1
        elif buffer.fill == "sorted" and buffer.high is not None:
            array[-1] = buffer.high - 1 if array.dtype.kind in "iu" else buffer.high
        elif buffer.fill == "uniform" and buffer.high is not None:
            array[:] = buffer.high - 1 if array.dtype.kind in "iu" else buffer.high
    return arrays


def _bad(workload: Workload, trouble: Trouble, reason: str) -> Sight:
    return Sight(workload, 0, 0, frozenset(), frozenset(), (), trouble, reason)


def _joined(workload: Workload, seen: Sequence[Observation]) -> Sight:
    names = [b.name for b in workload.buffers]
    read, written, reaches = set(), set(), []
    for at, name in enumerate(names):
        parts = [(o.reaches[at].read, o.reaches[at].written) for o in seen]
        read |= {name for r, _ in parts if r is not None}
        written |= {name for _, w in parts if w is not None}
        spans = [s for pair in parts for s in pair if s is not None]
        reaches.append(
            (min((s[0] for s in spans), default=0), max((s[1] for s in spans), default=0))
        )
    busy = min(o.busy_threads for o in seen[: len(_SEEDS)])
    trouble, reason = _trouble(names, reaches, written)
    race = next((o.race.reason for o in seen[: len(_SEEDS)] if o.race is not None), None)
    return Sight(
        workload, seen[0].threads, busy, frozenset(read), frozenset(written), tuple(reaches),
        trouble, reason, race=race,
    )  # fmt: skip


def _with_slack(
    workload: Workload, sight: Sight, seen: Sequence[Observation]
) -> list[tuple[int, int]]:
    """What is reached, and more of buffers where that depends on the draw.

    Indices computed from data, and writes under a condition, may reach a little further on others.
    """
    found = []
    for at, (buffer, (low, high)) in enumerate(zip(workload.buffers, sight.reaches, strict=True)):
        ends = {_end(o.reaches[at].read, o.reaches[at].written) for o in seen[: len(_SEEDS)]}
        varies = len(ends) > 1 and buffer.fill != "sorted"
        found.append((low, high + high // _SLACK if varies else high))
    return found


def _end(*spans: tuple[int, int] | None) -> int:
    return max((span[1] for span in spans if span is not None), default=0)


def _trouble(
    names: Sequence[str], reaches: Sequence[tuple[int, int]], written: set[str]
) -> tuple[Trouble | None, str]:  # fmt: skip
    for name, (low, high) in zip(names, reaches, strict=True):
        if low < 0:
            return "before", f"it reaches {-low} bytes before the start of '{name}'"
        if high > MAX_BUFFER_BYTES:
            return "beyond", f"it reaches {high} bytes into '{name}'"
    if not written:
        return "idle", "it writes nothing"
    return None, ""


def _lengths(
    workload: Workload, reaches: Sequence[tuple[int, int]], types: Sequence[ArgumentType]
) -> dict[str, int]:
    """Elements of each buffer that cover what was reached, whole elements of the kernel's own."""
    found = {}
    for buffer, (_, high), kind in zip(workload.buffers, reaches, types, strict=True):
        size = np.dtype("u2" if kind.dtype == "bfloat16" else kind.dtype).itemsize * kind.width
        found[buffer.name] = max(1, -(-high // size)) * kind.width
    return found
