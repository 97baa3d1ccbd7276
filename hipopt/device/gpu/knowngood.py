"""The known-good kernel: what a GPU must still be able to do before it is trusted.

Integer arithmetic of a known length on random data, LDS with a barrier, and every element written:
its results are known to the bit without a GPU, and so is how its length scales.
"""

from __future__ import annotations

import secrets

import numpy as np
from numpy.typing import NDArray

from hipopt.device.gpu.arguments import pack
from hipopt.device.gpu.attempt import Attempt, Shape, Took
from hipopt.device.gpu.gpu import Gpu, Tools
from hipopt.device.gpu.memory import Arena, random_shift
from hipopt.records import Scalar
from hipopt.source.capsule import Capsule

KERNEL = "hipopt_known_good"
SOURCE = """#include <hip/hip_runtime.h>
__global__ void hipopt_known_good(const unsigned* in, unsigned* out, unsigned rounds) {
    __shared__ unsigned tile[256];
    const unsigned i = blockIdx.x * 256 + threadIdx.x;
    unsigned x = in[i];
    for (unsigned k = 0; k < rounds; ++k) x = x * 1664525u + 1013904223u;
    tile[threadIdx.x] = x;
    __syncthreads();
    out[i] = x ^ tile[255 - threadIdx.x];
}
"""
_BLOCK = 256
_MULTIPLIER, _INCREMENT = 1664525, 1013904223
_MASK = (1 << 32) - 1

CHECK_BLOCKS = 1280
"""More than any GPU has compute units, so that each gets some."""
CHECK_ROUNDS = 8
TIMEOUT_S = 30.0
"""Longest launch of it: a healthy GPU takes milliseconds."""

Words = NDArray[np.uint32]


def capsule() -> Capsule:
    """The kernel's source, to be compiled as any other's."""
    return Capsule(source=SOURCE, kernel=KERNEL, parameters=(), kernel_text=SOURCE)


def expected(words: Words, rounds: int) -> Words:
    """What the kernel must leave of these words."""
    multiplier, increment = _steps(rounds)
    wide = words.astype(np.uint64) * multiplier + increment
    stepped = (wide & _MASK).astype(np.uint32).reshape(-1, _BLOCK)
    return (stepped ^ stepped[:, ::-1]).reshape(-1)


def _steps(rounds: int) -> tuple[int, int]:
    """Factor and summand of that many steps in one, by squaring."""
    multiplier, increment = 1, 0
    step_multiplier, step_increment = _MULTIPLIER, _INCREMENT
    while rounds:
        if rounds & 1:
            multiplier, increment = (
                multiplier * step_multiplier & _MASK,
                (increment * step_multiplier + step_increment) & _MASK,
            )
        step_increment = (step_increment * step_multiplier + step_increment) & _MASK
        step_multiplier = step_multiplier * step_multiplier & _MASK
        rounds >>= 1
    return multiplier, increment


class Wrong(Exception):
    """The known-good kernel ended by itself with wrong results."""


class KnownGood:
    """The kernel in a child of its own. Use as `KnownGood(gpu, tools)`, and `close` in the end.

    Raises:
        Stopped: the child or the kernel did not get on.
    """

    def __init__(self, gpu: Gpu, tools: Tools) -> None:
        self._code = tools.known_good
        self._attempt = Attempt(gpu, tools.known_good, tools.scrub)

    @property
    def others_bytes(self) -> int:
        """Memory on the GPU that is not this child's."""
        return self._attempt.others_bytes

    def close(self) -> None:
        """The child's process group is dead."""
        self._attempt.close()

    def check(self) -> None:
        """All of the GPU computes what it should.

        Raises:
            Wrong, Stopped: as `run`.
        """
        self.run(CHECK_BLOCKS, CHECK_ROUNDS)

    def run(self, blocks: int, rounds: int) -> Took:
        """How long a launch took, whose results are right.

        Raises:
            Wrong: they are not.
            Stopped: the child or the kernel did not get on.
        """
        words = np.frombuffer(secrets.token_bytes(4 * _BLOCK * blocks), np.uint32)
        out = np.zeros_like(words)
        arena = Arena([words, out], random_shift())
        try:
            shape = Shape((blocks, 1, 1), (_BLOCK, 1, 1), 0)
            address = self._attempt.load(shape, arena)
            starts = [address + place.offset for place in arena.placements]
            count = Scalar(name="rounds", scalar="uint32", value=rounds)
            took = self._attempt.launch(
                pack(self._code.layout, (words, out, count), starts), TIMEOUT_S
            )
            self._attempt.read(arena)
            kept, left = arena.read()
        finally:
            arena.close()
        if not np.array_equal(kept, words):
            raise Wrong("it changed what it only reads")
        wrong = int(np.count_nonzero(left != expected(words, rounds)))
        if wrong:
            raise Wrong(f"{wrong} of {left.size} words are wrong")
        return took
