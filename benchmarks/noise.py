"""How often the judge's timing errs: equal kernels told apart, and a slower one that passes.

Compares bundled kernels with themselves, the same executable and reformatted, and kernels that do
100 units of work with ones that do 105. Nothing is checked first, as in a judgement: only measuring
is tried. Prints, for each kind of comparison, how often each verdict was given, how often it was
wrong, what the noise was and what the comparison cost. A busy machine is part of the trial.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.slowed import WORK, slowed_kernel, slowed_workload
from hipopt.device.cpu.device import CpuDevice
from hipopt.device.interface import CodeObject, CompileFailure
from hipopt.judge.judge import Judge
from hipopt.judge.measure import measure
from hipopt.judge.options import JudgeOptions, Prepared
from hipopt.manifest import Manifest
from hipopt.records import Timing, Verdict
from hipopt.source.capsule import Capsule
from hipopt.source.slice import slice_kernel
from hipopt.source.tokens import tokenize

EXAMPLES = Path(__file__).parent.parent / "examples"
UNITS, MORE_UNITS = 100, 105
LOWER_SPEEDUP = 1.03
"""Least speedup asked for where the candidate is the kernel that does less."""


class Comparison(NamedTuple):
    """A candidate to be measured beside its reference."""

    kind: str
    kernel: str
    prepared: Prepared
    candidate: CodeObject
    min_speedup: float
    right: frozenset[Verdict]


class Outcome(NamedTuple):
    """What came of one comparison."""

    verdict: Verdict
    timing: Timing
    seconds: float


EQUAL = frozenset({Verdict.SAME, Verdict.INCONCLUSIVE})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--equal", type=int, default=500, help="comparisons of equal kernels")
    parser.add_argument("--slower", type=int, default=200, help="comparisons with 5 %% more work")
    parser.add_argument("--kernels", type=int, default=None, help="bundled kernels used; all")
    parser.add_argument("--cache-dir", type=Path, default=None, help="compiled kernels; fresh")
    parser.add_argument("--explain", action="store_true", help="one line for each comparison")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hipopt-noise-") as scratch:
        judge = Judge(CpuDevice(options.cache_dir or Path(scratch)))
        equal, different = bundled(judge, options.kernels), by_construction(judge)
        outcomes = defaultdict(list)
        for comparison in turns(equal, options.equal) + turns(different, options.slower):
            outcome = compare(judge, comparison)
            outcomes[comparison.kind].append((comparison, outcome))
            if options.explain:
                explain(comparison, outcome)
    report(outcomes)


def bundled(judge: Judge, kernels: int | None) -> list[Comparison]:
    """Each bundled kernel beside itself and beside itself reformatted."""
    found = []
    for task in list(Manifest(EXAMPLES / "manifest.json").tasks())[:kernels]:
        assert task.hip_source is not None
        reference = slice_kernel(task.hip_source, task.name, code_body=task.code_body)
        assert isinstance(reference, Capsule), task.name
        prepared = judge.prepare(reference, task.workloads)
        if not isinstance(prepared, Prepared):
            continue
        template = largest(prepared)
        itself = prepared.codes[template]
        again = compiled(judge, reformatted(reference), template)
        for kind, code in (("itself", itself), ("itself reformatted", again)):
            found.append(Comparison(kind, task.name, prepared, code, 1.05, EQUAL))
    return found


def by_construction(judge: Judge) -> list[Comparison]:
    """Kernels of several kinds that do 100 or 105 units of work, each way round."""
    found = []
    slower, faster = frozenset({Verdict.SLOWER}), frozenset({Verdict.FASTER})
    for name in WORK:
        less, more = (slowed_kernel(name, units) for units in (UNITS, MORE_UNITS))
        for kind, reference, candidate, least, right in (
            ("5 % more work", less, more, 1.05, slower),
            (f"5 % less work, {LOWER_SPEEDUP} asked", more, less, LOWER_SPEEDUP, faster),
        ):
            prepared = judge.prepare(reference, (slowed_workload(name),))
            assert isinstance(prepared, Prepared), prepared.reason
            code = compiled(judge, candidate, ())
            found.append(Comparison(kind, name, prepared, code, least, right))
    return found


def turns(comparisons: list[Comparison], count: int) -> list[Comparison]:
    """`count` comparisons, all equally often, in random order."""
    rounds = -(-count // max(1, len(comparisons)))
    chosen = (comparisons * rounds)[:count]
    random.shuffle(chosen)
    return chosen


def largest(prepared: Prepared) -> tuple[str, ...]:
    """Template arguments of the workload that is measured."""
    return prepared.qualified[number_of_largest(prepared)].workload.template


def number_of_largest(prepared: Prepared) -> int:
    """The workload with most blocks."""
    blocks = [q.workload.grid[0] * q.workload.grid[1] for q in prepared.qualified]
    return blocks.index(max(blocks))


def reformatted(capsule: Capsule) -> Capsule:
    """The same code on other lines, with a comment before it."""
    texts = (";\n" if token.text == ";" else token.text for token in tokenize(capsule.source))
    return msgspec.structs.replace(capsule, source="// reformatted\n\n" + "".join(texts))


def compiled(judge: Judge, capsule: Capsule, template: tuple[str, ...]) -> CodeObject:
    code = judge.device.compile(capsule, template, 60.0)
    assert not isinstance(code, CompileFailure), code.output
    return code


def compare(judge: Judge, comparison: Comparison) -> Outcome:
    """The comparison, measured as a correct candidate is."""
    number = number_of_largest(comparison.prepared)
    options = JudgeOptions(min_speedup=comparison.min_speedup)
    with judge.device.exclusive():
        started = time.perf_counter()
        verdict, timing = measure(
            judge.device, options, comparison.prepared, comparison.candidate, number,
            random.getrandbits(48),
        )  # fmt: skip
        return Outcome(verdict, timing, time.perf_counter() - started)


def explain(comparison: Comparison, outcome: Outcome) -> None:
    timing = outcome.timing
    wrong = "" if outcome.verdict in comparison.right else "  WRONG"
    print(
        f"{comparison.kind:24} {comparison.kernel:20} {outcome.verdict:13} {timing.speedup:6.3f} "
        f"({timing.low:.3f} to {timing.high:.3f}) noise {timing.noise_floor:.3f} rounds "
        f"{timing.rounds:2} rejected {timing.rejected_blocks:2} {outcome.seconds:5.2f} s{wrong}",
        flush=True,
    )


def report(outcomes: dict[str, list[tuple[Comparison, Outcome]]]) -> None:
    """One row for each kind of comparison."""
    names = list(Verdict)[:4]
    print(
        f"{'candidate':26} {'n':>4} " + " ".join(f"{name:>12}" for name in names) + f" {'wrong':>7}"
        f" {'noise':>6} {'off':>6} {'blocks out':>10} {'s median':>8} {'s worst':>7}"
    )
    for kind, found in outcomes.items():
        print(f"{kind:26} {len(found):4} " + " ".join(row(found, names)))
    equal = [pair for pairs in outcomes.values() for pair in pairs if pair[0].right is EQUAL]
    if equal:
        print(f"equal kernels called faster or slower: {wrong(equal)} of {len(equal)}")


def row(found: list[tuple[Comparison, Outcome]], names: list[Verdict]) -> Iterator[str]:
    """The cells of a row: verdicts, share wrong, medians of noise and of |speedup - 1|, cost."""
    counts = Counter(outcome.verdict for _, outcome in found)
    timings = [outcome.timing for _, outcome in found]
    seconds = [outcome.seconds for _, outcome in found]
    rejected = sum(t.rejected_blocks for t in timings)
    yield from (f"{counts[name]:12}" for name in names)
    yield f"{wrong(found) / len(found):7.1%}"
    yield f"{statistics.median(t.noise_floor - 1 for t in timings):6.1%}"
    yield f"{statistics.median(abs(t.speedup - 1) for t in timings):6.1%}"
    yield f"{rejected / (rejected + sum(t.blocks for t in timings)):10.1%}"
    yield f"{statistics.median(seconds):8.2f}"
    yield f"{max(seconds):7.2f}"


def wrong(found: list[tuple[Comparison, Outcome]]) -> int:
    return sum(outcome.verdict not in comparison.right for comparison, outcome in found)


if __name__ == "__main__":
    main()
