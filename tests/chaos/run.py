"""One run amid kills: `python -m tests.chaos.run --kernels 2000 --kills 120 --seed 7`."""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.chaos.site import Site

VICTIMS = {"pool": 10, "worker": 5, "collector": 4, "dispatcher": 4, "redis": 3}
"""Who is killed, and how often out of all."""
LONGEST_WAIT_S = 10.0
"""A kill comes after this long even where no row has come since the last."""


class Found(NamedTuple):
    """What a run came to."""

    kernels: int
    kills: Counter[str]
    rows: int
    duplicates: int
    missing: int
    failed: int
    evaluations: int
    seconds: float

    def __str__(self) -> str:
        kills = ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
        return (
            f"{self.kernels} kernels, {sum(self.kills.values())} kills ({kills}): "
            f"{self.rows} rows, {self.duplicates} duplicates, {self.missing} missing, "
            f"{self.failed} failed, "
            f"{self.evaluations / self.kernels:.3f} evaluations a kernel, {self.seconds:.0f} s"
        )


class Chaos:
    """Kills at random, by a seed, and what the log says in the end."""

    def __init__(self, site: Site, *, kills: int, seed: int) -> None:
        self.site = site
        self.kills: Counter[str] = Counter()
        self._choose = random.Random(seed)
        names = self._choose.choices(list(VICTIMS), list(VICTIMS.values()), k=kills)
        self._plan = [(name, self._choose.random()) for name in names]

    def go(self, timeout_s: float) -> Found:
        """All kills were done, and then the dispatcher said that all kernels are."""
        began = time.monotonic()
        step = self.site.kernels / (len(self._plan) + 2)
        for number, (name, which) in enumerate(self._plan, 1):
            self.site.until(lambda n=number: self.site.logged() >= n * step, LONGEST_WAIT_S)
            killed = self.site.until(lambda n=name, w=which: self._kill(n, w), LONGEST_WAIT_S)
            self.kills[name] += killed
        self.site.until(lambda: self.site.dispatcher.done, timeout_s)
        return self._count(time.monotonic() - began)

    def _kill(self, name: str, which: float) -> bool:
        """Whether there was such a process to kill. A dispatcher that is done stays so."""
        workers = self.site.workers
        worker = workers[int(which * len(workers))]
        if name == "pool":
            pool = worker.children()
            if not pool:
                return False
            os.kill(pool[int(which * 1000) % len(pool)], signal.SIGKILL)
            return True
        role = {"worker": worker, "collector": self.site.collector, "redis": self.site.redis}
        return role.get(name, self.site.dispatcher).kill()

    def _count(self, seconds: float) -> Found:
        assert self.site.settings.log is not None
        text = self.site.settings.log.read_bytes()
        assert not text or text.endswith(b"\n")
        rows = [msgspec.json.decode(line) for line in text.splitlines()]
        ids = Counter(row["id"] for row in rows)
        ends = (self.site.folder / "ends.txt").read_text().split()
        return Found(
            kernels=self.site.kernels,
            kills=self.kills,
            rows=len(rows),
            duplicates=len(rows) - len(ids),
            missing=len(set(range(self.site.kernels)) - set(ids)),
            failed=sum(row["status"] != "success" for row in rows),
            evaluations=len(ends),
            seconds=seconds,
        )


def chaos(folder: Path, *, kernels: int, kills: int, seed: int, timeout_s: float) -> Found:
    """One run from its start to its end; what its processes said stays in the folder."""
    site = Site(folder, kernels)
    try:
        return Chaos(site, kills=kills, seed=seed).go(timeout_s)
    finally:
        site.end()


def main() -> int:
    """The run that the command line asks for; 1: something was lost, repeated or too often done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernels", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=120)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds after the last kill")
    asked = parser.parse_args()
    _say(f"seed {asked.seed} (the same choices again: --seed {asked.seed})")
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    found = chaos(
        folder, kernels=asked.kernels, kills=asked.kills, seed=asked.seed, timeout_s=asked.timeout
    )
    _say(f"{found}\nlogs in {folder}")
    bad = found.duplicates or found.missing or found.evaluations > 1.1 * found.kernels
    return int(bool(bad) or sum(found.kills.values()) < asked.kills * 0.9)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
