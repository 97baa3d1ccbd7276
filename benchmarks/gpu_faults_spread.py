"""The whole path on two stand-in GPUs that fail at random: one row an id, and the one it deserves.

Dispatcher, broker, worker with its pool, collector and log are hipopt's own. While they work, one
fault is set to strike somewhere for about each kernel in twenty; a GPU that is out of service is
put back by this program, as a person would. In the end every id must have one row with the outcome
that its candidate deserves, and no process may be left.

    python -m benchmarks.gpu_faults_spread --kernels 1000 --share 0.05
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.gpu_faults import FAULTS, GOOD, KERNEL, WORKLOAD
from hipopt.broker.embedded import EmbeddedBroker
from hipopt.device.cpu.device import CpuDevice
from hipopt.settings import Settings
from hipopt.worker import child_environ
from tests.standin_gpu.standin import StandIn, build

ROOT = Path(__file__).parents[1]
GPUS = (("gfx90a", "0000:0a:00.0"), ("gfx90a", "0000:1b:00.0"))
CORRECT = frozenset({"faster", "same", "slower", "inconclusive"})
CANDIDATES: tuple[tuple[str, frozenset[str]], ...] = (
    ("if (i < n) y[i] = x[i] + x[i] + 1.0f;", CORRECT),
    ("if (i < n) y[i] = 3.0f * x[i] + 1.0f;", frozenset({"mismatch"})),
    ("if (i < n - 1) y[i] = 2.0f * x[i] + 1.0f;", frozenset({"mismatch"})),
    ("if (i < 1024) y[i] = 2.0f * x[i & 511] + 1.0f;", frozenset({"out_of_bounds"})),
    ("if (i < n) y[i] = 2.0f * x[i]; if (i == 7) __builtin_trap();", frozenset({"crashed"})),
)
"""Bodies, and the outcomes that they may have."""
SYMBOLS = {"k": "_Z1kPKfPfi", "hipopt_known_good": "_Z17hipopt_known_goodPKjPjj"}
"""Of the kernels that a fault may name, as real code objects call them."""
PAUSE_S = 0.2


def main() -> None:
    """Prints a line now and then, then the sums; fails where an outcome is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", type=int, default=1000)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--most-s", type=float, default=float("inf"), help="stop after as long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/hipopt"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, EmbeddedBroker() as broker:
        sys.exit(Faults(given, Path(name), broker.url).run())


class Faults:
    """One run: the node, its faults, and what came of it."""

    def __init__(self, given: argparse.Namespace, folder: Path, broker_url: str) -> None:
        self._draws = random.Random(given.seed)
        self._share: float = given.share
        self._most_s: float = given.most_s
        self._count: int = given.kernels
        self._log = folder / "log.jsonl"
        self._slots = folder / "slots"
        self._folder = folder
        cache = given.cache.expanduser()
        self._standin = StandIn(
            build(folder), folder / "rocm" / "lib", CpuDevice(cache), GPUS, "libamdhip64.so"
        )
        self._deserved = self._write_inputs(folder)
        self._settings = Settings(
            broker_url=broker_url, manifest=folder / "kernels.json", log=self._log,
            candidates=folder / "candidates.jsonl", cache_dir=cache, slots_dir=self._slots,
            device="amd", arch="gfx90a", shards=2, concurrency=given.concurrency,
            launch_timeout_s=3.0,
        )  # fmt: skip
        self._faults = 0
        self._put_back = 0

    def run(self) -> int:
        """The exit code."""
        began = time.monotonic()
        collect, worker = self._start("collect"), self._start("worker")
        dispatch = self._start("dispatch")
        seen = 0
        while dispatch.poll() is None and time.monotonic() < began + self._most_s:
            time.sleep(PAUSE_S)
            rows = self._rows()
            for _ in range(len(rows) - seen):
                self._maybe_fault()
            if len(rows) // 50 > seen // 50:
                print(f"{len(rows)}: {time.monotonic() - began:.0f} s", flush=True)
            seen = len(rows)
            self._mend()
        is_done = dispatch.poll() is not None
        for process in (dispatch, worker, collect):
            process.terminate()
            process.wait()
        return self._judge(time.monotonic() - began, self._count if is_done else None)

    def _write_inputs(self, folder: Path) -> dict[int, frozenset[str]]:
        kernels, candidates, deserved = [], [], {}
        for number in range(self._count):
            body, deserved[number] = self._draws.choice(CANDIDATES)
            row = {"id": number, "name": "k", "code_body": KERNEL, "workloads": [WORKLOAD]}
            kernels.append(row)
            candidates.append({"id": number, "opt_kernel": KERNEL.replace(GOOD, body)})
        (folder / "kernels.json").write_text(json.dumps(kernels))
        lines = (json.dumps(candidate) + "\n" for candidate in candidates)
        (folder / "candidates.jsonl").write_text("".join(lines))
        return deserved

    def _start(self, command: str) -> subprocess.Popen[bytes]:
        environ = child_environ(self._settings) | {
            "ROCM_PATH": str(self._standin.library.parents[1]),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tests/standin_gpu/site"), str(ROOT)]),
            "STANDIN_TIMING_BUDGET_S": "0.05",
        }
        with (self._folder / f"{command}.log").open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "hipopt", command], env=environ, stdout=output, stderr=output
            )

    def _rows(self) -> list[dict[str, object]]:
        if not self._log.exists():
            return []
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def _maybe_fault(self) -> None:
        if self._draws.random() < self._share:
            self._faults += 1
            call, action, argument = self._draws.choice(FAULTS)
            name, mark, kernel = call.partition(":")
            self._standin.fault(name + mark + SYMBOLS.get(kernel, ""), action, argument)

    def _mend(self) -> None:
        """GPUs that are out of service are put back."""
        for path in (self._slots / "gpu").glob("*.out"):
            path.unlink(missing_ok=True)
            self._put_back += 1

    def _judge(self, seconds: float, wanted: int | None) -> int:
        """The exit code. `wanted`: how many ids must have a row; None: it was stopped before."""
        counts: collections.Counter[int] = collections.Counter()
        wrong = 0
        for row in self._rows():
            number = row["id"]
            assert isinstance(number, int)
            counts[number] += 1
            outcome = _outcome(row)
            if outcome not in self._deserved[number]:
                wrong += 1
                print(f"{number}: {outcome}: {row['error_message']}", flush=True)
        once = sum(count == 1 for count in counts.values())
        give_up_at = time.monotonic() + 10
        while (left := _left(str(self._folder))) and time.monotonic() < give_up_at:
            time.sleep(PAUSE_S)  # who is killed takes a moment to go
        print(
            f"{self._count} kernels, {once} with one row, {sum(counts.values())} rows, "
            f"{wrong} wrong; {self._faults} faults set, {self._standin.faults_left} never struck, "
            f"GPUs put back {self._put_back} times, {left} processes left, {seconds:.0f} s"
        )
        return int(bool(wrong or left or once != (len(counts) if wanted is None else wanted)))


def _outcome(row: dict[str, object]) -> object:
    """Of the kernel's only attempt; where it never came to one, the kind of failure."""
    attempts = row["attempts"]
    return (
        attempts[0]["outcome"] if isinstance(attempts, list) and attempts else row["failure_kind"]
    )


def _left(mark: str) -> int:
    """Processes that name this run's folder, or hold what lies there."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        found += mark.encode() in words and int(process.name) != os.getpid()
    return found


if __name__ == "__main__":
    main()
