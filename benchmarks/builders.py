"""What judging one candidate costs beside building the same torch extension with torch's builder.

The kernel is the bundled GELU, which comes from a torch extension; its equivalent for torch (CPU)
is built by `torch.utils.cpp_extension.load_inline`, in a process and a folder of its own, from
nothing, as an evaluator that gives every candidate to torch has to. Skips itself where torch isn't
installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.kernels import BUNDLED, KernelChoice, judge_prepared, load_cut, prepared
from hipopt.judge.options import JudgeOptions
from hipopt.records import Judgement, Record

KERNEL = "gelu_tanh_kernel"
SOURCE = """
#include <torch/extension.h>
#include <cmath>
#define SQRT_2_OVER_PI 0.7978845608028654
torch::Tensor forward(torch::Tensor x) {
    TORCH_CHECK(x.is_contiguous(), "x must be contiguous");
    auto y = torch::empty_like(x);
    const float* from = x.data_ptr<float>();
    float* to = y.data_ptr<float>();
    for (int64_t i = 0; i < x.numel(); ++i) {
        const double v = from[i];
        to[i] = 0.5 * v * (1.0 + std::tanh(SQRT_2_OVER_PI * (v + 0.044715 * std::pow(v, 3.0))));
    }
    return y;
}
"""
ENOUGH_S = 500.0


class TorchBuild(Record, frozen=True, kw_only=True):
    """What torch's builder took."""

    seconds: tuple[float, ...]
    """Wall seconds of each build; torch's import does not count."""
    torch_version: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--builds", type=int, default=3, help="how often torch builds")
    parser.add_argument("--judgements", type=int, default=9, help="how many candidates are judged")
    options = parser.parse_args()
    build = torch_build(options.builds)
    if isinstance(build, str):
        print(f"not measured: {build}")
        return
    for line in compared(build, judgement_seconds(options.judgements)):
        print(line)


def compared(build: TorchBuild, judging_s: float) -> list[str]:
    """The table's lines: both costs, and how many times the one is the other."""
    building_s = statistics.median(build.seconds)
    return [
        f"{KERNEL}: one candidate, wall ms; torch {build.torch_version}, n={len(build.seconds)}",
        f"  {'judged, compile included':26} {1000 * judging_s:9.1f}",
        f"  {'built by load_inline only':26} {1000 * building_s:9.1f}   "
        f"{building_s / judging_s:.1f} times as long",
    ]


def judgement_seconds(times: int) -> float:
    """Median wall seconds of splicing, compiling and judging the kernel, never from the cache."""
    (kernel,) = load_cut(KernelChoice(manifests=(BUNDLED,), names=frozenset({KERNEL})))
    ready = prepared(kernel, JudgeOptions())
    if isinstance(ready, Judgement):
        raise SystemExit(f"{KERNEL} can't be judged: {ready.reason}")
    seconds = []
    for _ in range(times):
        name = f"once_{time.monotonic_ns()}"
        code = kernel.capsule.kernel_text.replace("const int i", f"const int {name} = 0, i")
        started = time.perf_counter()
        judgement = judge_prepared(ready, code, JudgeOptions())
        seconds.append(time.perf_counter() - started)
        if not judgement.verdict.correct:
            raise SystemExit(f"{KERNEL} differs from itself: {judgement.reason}")
    return statistics.median(seconds)


def torch_build(builds: int) -> TorchBuild | str:
    """What torch's builder takes for the kernel's equivalent, or why that can't be measured."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    with tempfile.TemporaryDirectory(prefix="hipopt-torch-") as scratch:
        command = [sys.executable, "-m", "benchmarks.builders_child", scratch, str(builds)]
        try:
            done = subprocess.run(
                command, cwd=Path(__file__).parent.parent, capture_output=True, text=True,
                timeout=ENOUGH_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"torch did not build it {builds} times within {ENOUGH_S:.0f} s"
    last: list[str] = done.stdout.strip().splitlines()[-1:]
    if done.returncode != 0 or not last:
        reason: list[Any] = done.stderr.strip().splitlines()[-1:]
        return f"torch can't build it here: {reason[0] if reason else done.returncode}"
    version, *seconds = last[0].split()
    return TorchBuild(torch_version=version, seconds=tuple(map(float, seconds)))


if __name__ == "__main__":
    main()
