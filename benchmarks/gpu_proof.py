"""The runner, the health checks and the judge on a real NVIDIA GPU: the same code as for AMD's.

    python -m benchmarks.gpu_proof --compile-only   # needs nvcc alone
    python -m benchmarks.gpu_proof                  # needs nvcc and a GPU

Judges every bundled kernel against itself (correct, and no faster or slower than the noise), the
exploits of the museum (none accepted), a kernel that never ends and one that writes far out of
bounds (the next kernel is judged well). Ends with judgements a minute, and the share of that time
in which the GPU ran kernels of ours.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks.nvidia.compiler import NvidiaCompiler
from hipopt.device.cpu.device import CpuDevice
from hipopt.device.gpu import gpus, knowngood, scrub
from hipopt.device.gpu.detect import detect
from hipopt.device.gpu.device import GpuDevice
from hipopt.device.gpu.session import GpuSession
from hipopt.device.interface import FORWARD, CompileFailure, Fault, Launched, Schedule
from hipopt.errors import HipoptError
from hipopt.judge.judge import Judge
from hipopt.judge.options import JudgeOptions
from hipopt.records import Judgement, Verdict, Workload
from hipopt.source.capsule import Capsule
from hipopt.source.slice import slice_kernel
from hipopt.source.splice import SpliceFailure, splice
from tests.exploits.museum import kinds, load

EXAMPLES = Path(__file__).parents[1] / "examples"
LIBRARY = Path("libcuda.so.1")
OF_WAVES = ("warpSize", "__shfl", "__ballot")
"""A kernel that holds one of these, and the number 64, may need waves of so many lanes."""
KERNEL = """#include <hip/hip_runtime.h>
__global__ void k(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2.0f * x[i];
}
"""
BAD = {
    "hangs": ("while (x[0] == x[0]) __threadfence(); y[i] = 0.0f;", Verdict.TIMEOUT),
    "far out of bounds": ("y[i + (1ll << 40)] = 2.0f * x[i];", Verdict.OUT_OF_BOUNDS),
    "right": ("y[i] = x[i] + x[i];", None),
}
"""What a candidate does in place of that line, in this order; None: any correct verdict."""
LAUNCH = Workload.from_json(
    {
        "grid": [64],
        "block": [256],
        "args": [
            {"name": "x", "buffer": "float32", "length": 16000, "fill": "normal"},
            {"name": "y", "buffer": "float32", "length": 16000},
            {"name": "n", "scalar": "int32", "value": 16000},
        ],
    }
)


def main() -> None:
    """Prints a line a kernel, then sums; fails where one is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compile-only", action="store_true")
    parser.add_argument("--arch", default="sm_90", help="to compile for, where there is no GPU")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/hipopt"))
    given = parser.parse_args()
    try:
        sys.exit(compiled(given) if given.compile_only else judged(given))
    except HipoptError as error:
        sys.exit(f"gpu_proof: {error}")


def bundled() -> Iterator[tuple[str, Capsule, tuple[Workload, ...]]]:
    """Name, capsule and workloads of each bundled kernel that comes with some."""
    for row in json.loads((EXAMPLES / "manifest.json").read_text()):
        workloads = tuple(Workload.from_json(w) for w in row.get("workloads", ()))
        if workloads:
            source = (EXAMPLES / row["hip_file"]).read_text()
            yield row["name"], slice_kernel(source, row["name"]), workloads


def compiled(given: argparse.Namespace) -> int:
    """The exit code, once all bundled kernels and our own went through nvcc."""
    compiler = NvidiaCompiler(given.cache, given.arch)
    jobs = [(name, capsule, workloads[0].template) for name, capsule, workloads in bundled()]
    jobs += [
        ("our own known-good", knowngood.capsule(), ()),
        ("our own scrub", scrub.capsule(), ()),
    ]
    print(f"{compiler.version}, {given.arch}")
    failed = 0
    for name, capsule, template in jobs:
        code = compiler.compile(capsule, template, 120.0)
        if isinstance(code, CompileFailure):
            failed += 1
            print(f"{name}: {code.output.strip().splitlines()[0]}")
    print(f"{len(jobs) - failed} of {len(jobs)} kernels gave cubins")
    return int(failed > 0)


def judged(given: argparse.Namespace) -> int:
    """The exit code, once all was judged on the first GPU."""
    (gpu, *_) = detect("nvidia", LIBRARY)
    print(f"{gpu}, waves of {gpu.wave_size} lanes, driver {_driver()}")
    with tempfile.TemporaryDirectory() as name:
        device = GpuDevice([gpu], NvidiaCompiler(given.cache, gpu.arch), Path(name))
        judge = Judge(device, JudgeOptions(launch_timeout_s=5.0), CpuDevice(given.cache))
        ran_us = _count_kernel_time()
        began = time.monotonic()
        counts: Counter[str] = Counter()
        for what, is_right in (*_identities(judge), *_exploits(judge), *_survivals(judge)):
            counts["judged"] += 1
            counts["wrong"] += not is_right
            print(f"{'' if is_right else 'WRONG: '}{what}", flush=True)
        seconds = time.monotonic() - began
    share = sum(ran_us) / 1e6 / seconds
    print(
        f"{counts['judged']} judged, {counts['wrong']} wrong, {seconds:.0f} s: "
        f"{counts['judged'] / seconds * 60:.1f} a minute, the GPU ran kernels {share:.1%} of it"
    )
    return int(counts["wrong"] > 0)


def _identities(judge: Judge) -> Iterator[tuple[str, bool]]:
    """Every bundled kernel against itself."""
    for name, capsule, workloads in bundled():
        wide = "64" in capsule.source and any(word in capsule.source for word in OF_WAVES)
        mark = " (may need waves of 64)" if wide else ""
        prepared = judge.prepare(capsule, workloads)
        verdict = prepared if isinstance(prepared, Judgement) else judge.judge(prepared, capsule)
        is_right = verdict.verdict in {Verdict.SAME, Verdict.INCONCLUSIVE} or bool(mark)
        yield f"{name}{mark}: {verdict.verdict}: {verdict.reason}", is_right


def _exploits(judge: Judge) -> Iterator[tuple[str, bool]]:
    """The museum: none may be called faster, and none correct that isn't made harmless."""
    for kind in kinds():
        exhibit = load(kind)
        original = slice_kernel(exhibit.original(fair=False), exhibit.kernel)
        candidate = splice(original, exhibit.exploit)
        prepared = judge.prepare(original, exhibit.launches(fair=False))
        if isinstance(candidate, SpliceFailure) or isinstance(prepared, Judgement):
            yield f"{kind}: refused before it ran", True
            continue
        verdict = judge.judge(prepared, candidate).verdict
        harmless = exhibit.or_harmless and verdict is not Verdict.FASTER
        yield f"{kind}: {verdict}", harmless or not verdict.correct


def _survivals(judge: Judge) -> Iterator[tuple[str, bool]]:
    """A hang, a wild write, and then a kernel that is right; the GPU alone looks at them."""
    bare = Judge(judge.device, judge.options)
    prepared = bare.prepare(slice_kernel(KERNEL, "k"), (LAUNCH,))
    assert not isinstance(prepared, Judgement), prepared.reason
    for what, (line, deserved) in BAD.items():
        source = KERNEL.replace("y[i] = 2.0f * x[i];", f"{{ {line} }}")
        verdict = bare.judge(prepared, slice_kernel(source, "k")).verdict
        is_right = verdict.correct if deserved is None else verdict is deserved
        yield f"a kernel that is {what}: {verdict}", is_right


def _count_kernel_time() -> list[float]:
    """Microseconds of every launch of a session, from now on."""
    found: list[float] = []

    class Counted(GpuSession):
        """A session whose launches are added up."""

        def launch(self, timeout_s: float, schedule: Schedule = FORWARD) -> Launched | Fault:
            launched = super().launch(timeout_s, schedule)
            if isinstance(launched, Launched):
                found.append(launched.time_us)
            return launched

    gpus.GpuSession = Counted  # type: ignore[misc]
    return found


def _driver() -> str:
    try:
        return Path("/sys/module/nvidia/version").read_text().strip()
    except OSError:
        return "unknown"


if __name__ == "__main__":
    main()
