"""Proof that small mistakes are caught: single-token mutants, judged against their originals.

A mutant counts if it compiles. Where it compiles to the original's very code, nothing could tell it
apart, and it doesn't count among those that differ. Every other mutant that is found correct is a
survivor; it is listed until a person has explained, in a file of lines {"key", "why"}, why it
computes the same as the original.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from benchmarks.kernels import (
    SHORT_S,
    Kernel,
    add_choice,
    chosen,
    judge,
    judge_prepared,
    load_cut,
    prepared,
)  # fmt: skip
from benchmarks.mutation import KINDS, Mutant
from benchmarks.objectcode import same_code
from benchmarks.pool import Row, Table, spread
from benchmarks.sampling import sample
from hipopt.device.interface import CompileFailure
from hipopt.judge.options import JudgeOptions, Prepared
from hipopt.records import Judgement, Record, Verdict
from hipopt.source.splice import SpliceFailure, splice

MUTANTS_A_JOB = 6
EXPLAINED = Path(__file__).with_name("explained.jsonl")
LAUNCH_TIMEOUT_S = 4.0
"""Many a mutant loops for ever; the originals take milliseconds."""

Outcome = Literal["caught", "survived", "same_code", "refused", "not_compiled", "no_workload"]


class Job(Record, frozen=True, kw_only=True):
    """Some mutants of one kernel."""

    kernel: Kernel
    mutants: tuple[Mutant, ...]
    options: JudgeOptions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_choice(parser)
    parser.add_argument("--count", type=int, default=640, help="how many mutants to make")
    parser.add_argument("--seed", type=int, default=1, help="of the choice among all mutants")
    parser.add_argument("--timed", action="store_true", help="time as long as a real judgement")
    parser.add_argument("--explained", type=Path, default=EXPLAINED, help="survivors explained")
    parser.add_argument("-o", "--output", type=Path, help="table of mutants (JSON Lines); resumed")
    options = parser.parse_args()
    judging = JudgeOptions(
        timing_budget_s=JudgeOptions().timing_budget_s if options.timed else SHORT_S,
        launch_timeout_s=LAUNCH_TIMEOUT_S,
    )
    table = Table(options.output, lambda row: (row["kernel"], row["key"]))
    kernels = {kernel.label: kernel for kernel in load_cut(chosen(options))}
    texts = {label: kernel.capsule.kernel_text for label, kernel in kernels.items()}
    drawn = sample(texts, options.count, options.seed)
    for row in spread(verdicts, list(_jobs(kernels, drawn, table, judging))):
        table.add(row)
    named = [{"kernel": label, **mutant.describe(texts[label])} for label, mutant in drawn]
    report([table[row] for row in named if row in table], explanations(options.explained))


def _jobs(
    kernels: dict[str, Kernel], drawn: list[tuple[str, Mutant]], table: Table,
    judging: JudgeOptions,
) -> Iterable[Job]:  # fmt: skip
    for label, kernel in kernels.items():
        text = kernel.capsule.kernel_text
        left = [
            mutant
            for of, mutant in drawn
            if of == label and {"kernel": label, **mutant.describe(text)} not in table
        ]
        for first in range(0, len(left), MUTANTS_A_JOB):
            some = tuple(left[first : first + MUTANTS_A_JOB])
            yield Job(kernel=kernel, mutants=some, options=judging)


def verdicts(job: Job) -> list[Row]:
    """One row for each mutant of the job."""
    ready = prepared(job.kernel, job.options)
    rows = []
    for mutant in job.mutants:
        started = time.perf_counter()
        text = mutant.applied(job.kernel.capsule.kernel_text)
        if isinstance(ready, Judgement):
            judgement, outcome = ready, "no_workload"
        else:
            judgement = judge_prepared(ready, text, job.options)
            outcome = _outcome(ready, text, judgement, job.options)
        rows.append({
            "kernel": job.kernel.label,
            **mutant.describe(job.kernel.capsule.kernel_text),
            "outcome": outcome,
            "verdict": judgement.verdict,
            "reason": judgement.reason,
            "seeds": judgement.seeds,
            "seconds": round(time.perf_counter() - started, 3),
        })  # fmt: skip
    return rows


def _outcome(ready: Prepared, text: str, judgement: Judgement, options: JudgeOptions) -> Outcome:
    if judgement.verdict is Verdict.COMPILE_ERROR:
        return "not_compiled"
    if judgement.verdict is Verdict.REJECTED:
        return "refused"
    if not judgement.verdict.correct:
        return "caught"
    return "same_code" if _compiles_the_same(ready, text, options) else "survived"


def _compiles_the_same(ready: Prepared, text: str, options: JudgeOptions) -> bool:
    mutant = splice(ready.reference, text)
    assert not isinstance(mutant, SpliceFailure)
    device = judge(options).device
    for template, original in ready.codes.items():
        code = device.compile(mutant, template, options.compile_timeout_s)
        if isinstance(code, CompileFailure) or not same_code(original, code):
            return False
    return True


def explanations(path: Path) -> dict[str, str]:
    """Why survivors are no mistakes, by their key; none where there is no such file."""
    if not path.exists():
        return {}
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {row["key"]: row["why"] for row in rows}


def report(rows: list[Row], explained: dict[str, str]) -> None:
    """Prints the counts, by kind and as a whole, and every survivor."""
    survivors = [row for row in rows if row["outcome"] == "survived"]
    unexplained = [row for row in survivors if row["key"] not in explained]
    outcomes = Counter(row["outcome"] for row in rows)
    compiled = sum(outcomes[o] for o in ("caught", "survived", "same_code"))
    aside = _counted(outcomes, "not_compiled", "refused", "no_workload")
    kernels = {row["kernel"] for row in rows}
    print(f"{len(rows)} mutants of {len(kernels)} kernels: {compiled} compile; aside: {aside}")
    print(f"{'kind':24} {'caught':>7} {'survived':>9} {'explained':>10} {'same code':>10}")
    for kind in KINDS:
        _print_line(kind, [row for row in rows if row["kind"] == kind], explained)
    _print_line("all", rows, explained)
    print(f"caught as: {_counted(Counter(r['verdict'] for r in rows if r['outcome'] == 'caught'))}")
    differ = outcomes["caught"] + len(unexplained)
    if differ:
        print(f"caught of those that differ: {outcomes['caught']} of {differ}, "
              f"{100 * outcomes['caught'] / differ:.1f} %")  # fmt: skip
    for row in sorted(survivors, key=lambda r: (r["key"] in explained, r["kernel"], r["line"])):
        print(f"{row['key']} {row['kind']} {row['kernel']} line {row['line']} ({row['verdict']})")
        print(f"  - {row['was']}\n  + {row['is']}")
        if row["key"] in explained:
            print(f"  explained: {explained[row['key']]}")


def _counted(counts: Counter[str], *names: str) -> str:
    rows = [(name, counts[name]) for name in names or sorted(counts)]
    return ", ".join(f"{count} {name}" for name, count in rows)


def _print_line(name: str, rows: list[Row], explained: dict[str, str]) -> None:
    survivors = [row for row in rows if row["outcome"] == "survived"]
    known = sum(row["key"] in explained for row in survivors)
    outcomes = Counter(row["outcome"] for row in rows)
    print(f"{name:24} {outcomes['caught']:7} {len(survivors) - known:9} {known:10} "
          f"{outcomes['same_code']:10}")  # fmt: skip


if __name__ == "__main__":
    main()
