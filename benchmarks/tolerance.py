"""How wide tolerances come out on the bundled kernels, and what they tell apart.

For every bundled kernel and family of data: how far the original's rounding carries, the tolerance
that follows, and whether the next narrower type passes: the original's results rounded to it, and
the original run on inputs rounded to it (half for float32, float32 for float64). Figures are
medians over elements, relative to the root mean square of the results.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from hipopt.device.cpu.device import CpuDevice
from hipopt.device.interface import Fault
from hipopt.judge.agreement import mismatch
from hipopt.judge.execution import Arrays, Runner
from hipopt.judge.judge import Judge
from hipopt.judge.options import Prepared
from hipopt.judge.outputs import are_written, bits
from hipopt.judge.references import References
from hipopt.judge.seeds import fresh_seeds
from hipopt.judge.tolerance import from_spread, root_mean_square, widest
from hipopt.manifest import Manifest
from hipopt.source.slice import slice_kernel

EXAMPLES = Path(__file__).parent.parent / "examples"


def main() -> None:
    print(f"{'kernel':18} {'family':9} {'spread':>9} {'tolerance':>9} {'widest':>9}", end="")
    print("  narrower: results inputs")
    with tempfile.TemporaryDirectory(prefix="hipopt-bench-") as scratch:
        device = CpuDevice(Path(scratch))
        judge = Judge(device)
        for task in Manifest(EXAMPLES / "manifest.json").tasks():
            reference = slice_kernel(task.hip_source, task.name, code_body=task.code_body)
            prepared = judge.prepare(reference, task.workloads)
            if isinstance(prepared, Prepared):
                with References(device.open, prepared.codes, prepared, 10.0) as references:
                    for seed in fresh_seeds(4)[:4]:
                        show(task.name, device, prepared, references, seed)


def show(
    name: str, device: CpuDevice, prepared: Prepared, references: References, seed: int
) -> None:
    """One line for each float output of the kernel's first workload."""
    qualified = prepared.qualified[0]
    before, after = qualified.contents(seed), references.expected(0, seed)
    spreads = references.spreads(0, seed)

    def verdict(left: Arrays | Fault) -> str:
        if isinstance(left, Fault):
            return "fault"
        off = mismatch(0, qualified, seed, before, after, left, spreads)
        return "found" if off else "passes"

    code = prepared.codes[qualified.workload.template]
    with Runner(device.open, code, 10.0) as runner:
        by_inputs = verdict(runner.run(qualified.launch(seed), narrowed(before)))
    written = are_written(before, after)
    by_results = verdict(
        [n if w else a for n, a, w in zip(narrowed(after), after, written, strict=True)]
    )
    known = spreads()
    assert known is not None
    rows = zip(qualified.workload.buffers, before, after, known, strict=True)
    for index, (buffer, was, left, spread) in enumerate(rows):
        changed = bits(was) != bits(left)
        if left.dtype.kind in "iub" or not changed.any():
            continue
        results = left[changed].astype(np.float64)
        scale = qualified.scale(seed, index)
        unit = root_mean_square(results) or 1.0
        columns = (
            spread.rounding[changed],
            from_spread(buffer.buffer, results, spread.of(changed), scale),
            widest(buffer.buffer, results, scale),
        )
        figures = " ".join(f"{np.median(column) / unit:9.1e}" for column in columns)
        print(
            f"{name:18} {qualified.family(seed):9} {figures}            {by_results:7} {by_inputs}"
        )


def narrowed(arrays: Arrays) -> Arrays:
    """Floats rounded to the next narrower type; other arrays as they are."""
    narrower = {"float32": np.float16, "float64": np.float32}
    with np.errstate(over="ignore"):
        return [
            a.astype(narrower[a.dtype.name]).astype(a.dtype) if a.dtype.name in narrower else a
            for a in arrays
        ]


if __name__ == "__main__":
    main()
