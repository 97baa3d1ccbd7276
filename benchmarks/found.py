"""For how many kernels hipopt finds a workload by itself.

Takes a manifest, or folders of HIP sources; workloads that rows carry are ignored. Prints a line
for each kernel with how it ended, and the totals: kernels whose parameters are not all scalars and
pointers to arithmetic types are left out, and said to be.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from hipopt.device.cpu.device import CpuDevice
from hipopt.errors import SourceError
from hipopt.extract import extract
from hipopt.judge.judge import Judge
from hipopt.manifest import Manifest
from hipopt.records import KernelTask
from hipopt.source.slice import slice_kernel
from hipopt.workload.find import Found


class Looked(NamedTuple):
    """How the search for one kernel's workloads ended."""

    task: KernelTask
    kind: str
    """`found`, `unfound`, `uncompiled`, or `left out`."""
    found: Found
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+", type=Path, help="a manifest, or folders of sources")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--cache-dir", type=Path, default=Path(tempfile.gettempdir()) / "hipopt-found"
    )
    parser.add_argument("--name", help="only kernels of this name")
    parser.add_argument("-o", "--output", type=Path, help="write what was found, a line a kernel")
    options = parser.parse_args()
    tasks = [t for t in read(options.sources) if options.name in (None, t.name)]
    CpuDevice(options.cache_dir).describe()
    with ProcessPoolExecutor(options.jobs) as pool:
        looked = []
        for one in pool.map(look, tasks, [options.cache_dir] * len(tasks)):
            print(line(one), flush=True)
            looked.append(one)
    report(looked)
    if options.output:
        rows = ({"id": o.task.id, "name": o.task.name, **o.found.to_json()} for o in looked)
        options.output.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(sources: list[Path]) -> list[KernelTask]:
    if len(sources) == 1 and sources[0].is_file() and sources[0].suffix in (".json", ".jsonl"):
        return list(Manifest(sources[0]).tasks())
    with tempfile.TemporaryDirectory(prefix="hipopt-found-") as scratch:
        manifest = Path(scratch) / "manifest.json"
        manifest.write_text(json.dumps(list(extract(sources, relative_to=manifest.parent))))
        return list(Manifest(manifest).tasks())


def look(task: KernelTask, cache_dir: Path) -> Looked:
    begun = time.monotonic()
    try:
        capsule = slice_kernel(task.hip_source, task.name, code_body=task.code_body)
    except SourceError as error:
        return Looked(task, "uncompiled", Found(tried=(str(error),)), time.monotonic() - begun)
    device = CpuDevice(cache_dir)
    found = Judge(device).find(capsule)
    return Looked(task, kind_of(found), found, time.monotonic() - begun)


def kind_of(found: Found) -> str:
    if found.workloads:
        return "found"
    if found.tried and all(t.startswith("parameter ") for t in found.tried):
        return "left out"
    if found.tried and all("does not compile" in t for t in found.tried):
        return "uncompiled"
    return "unfound"


def line(one: Looked) -> str:
    where = f"{Path(one.task.hip_file or '').name}:{one.task.name}"
    head = f"{one.kind:10} {one.seconds:5.1f} s  {where:50}"
    if one.found.workloads:
        shapes = (f"{w.grid}x{w.block}" for w in one.found.workloads)
        return f"{head} {' '.join(shapes).replace(' ', '')}"
    return f"{head} {' | '.join(one.found.tried)[:400]}"


def report(looked: list[Looked]) -> None:
    kinds = [o.kind for o in looked]
    found, unfound = kinds.count("found"), kinds.count("unfound")
    uncompiled = kinds.count("uncompiled")
    seconds = sorted(o.seconds for o in looked) or [0.0]
    print(f"kernels {len(looked)}, left out for their parameters {kinds.count('left out')}")
    print(f"found {found} of {found + unfound} that compile: {share(found, found + unfound)}")
    print(f"found {found} of all {found + unfound + uncompiled}: "
          f"{share(found, found + unfound + uncompiled)}")  # fmt: skip
    print(f"seconds a kernel: median {statistics.median(seconds):.1f}, most {seconds[-1]:.1f}")


def share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "none"


if __name__ == "__main__":
    main()
