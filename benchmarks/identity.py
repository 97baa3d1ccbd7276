"""Proof that a kernel is never told apart from itself.

Every kernel is judged against itself, and against itself reformatted with its parameters and locals
renamed, each many times with fresh secret seeds. Anything but a correct verdict is an error of the
judge, and of the workloads it found. Kernels that no workload counts for are listed apart.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from benchmarks.kernels import (
    SHORT_S,
    Kernel,
    add_choice,
    chosen,
    judge_prepared,
    load_cut,
    prepared,
)  # fmt: skip
from benchmarks.pool import Row, Table, spread
from benchmarks.reformat import STYLES, rewritten
from hipopt.judge.options import JudgeOptions
from hipopt.records import Judgement, Record

TIMES_A_JOB = 5


class Job(Record, frozen=True, kw_only=True):
    """Some trials of one kernel."""

    kernel: Kernel
    times: range
    options: JudgeOptions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_choice(parser)
    parser.add_argument("--times", type=int, default=20, help="how often each form is judged")
    parser.add_argument("--timed", action="store_true", help="time as long as a real judgement")
    parser.add_argument("-o", "--output", type=Path, help="table of trials (JSON Lines); resumed")
    options = parser.parse_args()
    judging = JudgeOptions() if options.timed else JudgeOptions(timing_budget_s=SHORT_S)
    table = Table(options.output, lambda row: (row["kernel"], row["form"], row["time"]))
    jobs = [
        Job(kernel=kernel, times=times, options=judging)
        for kernel in load_cut(chosen(options))
        for times in batched(options.times)
    ]
    waiting = [job for job in jobs if not all(row in table for row in _expected(job))]
    for row in spread(trials, waiting):
        table.add(row)
    sys.exit(report(table.rows))


def batched(times: int) -> list[range]:
    """0 to `times`, in ranges of a job each."""
    starts = range(0, times, TIMES_A_JOB)
    return [range(first, min(first + TIMES_A_JOB, times)) for first in starts]


def _expected(job: Job) -> Iterable[Row]:
    for time_number in job.times:
        for form in ("itself", "rewritten"):
            yield {"kernel": job.kernel.label, "form": form, "time": time_number}


def trials(job: Job) -> list[Row]:
    """One row for each trial of the job."""
    ready = prepared(job.kernel, job.options)
    rows = []
    for row in _expected(job):
        started = time.perf_counter()
        if isinstance(ready, Judgement):
            judgement = ready
        else:
            code = form_of(job.kernel, row["form"], row["time"])
            judgement = judge_prepared(ready, code, job.options)
        rows.append({
            **row,
            "verdict": judgement.verdict,
            "prepared": not isinstance(ready, Judgement),
            "reason": judgement.reason,
            "seeds": judgement.seeds,
            "seconds": round(time.perf_counter() - started, 3),
        })  # fmt: skip
    return rows


def form_of(kernel: Kernel, form: str, number: int) -> str:
    """The kernel's text as the trial of that number takes it; two texts a style, for the cache."""
    if form == "itself":
        return kernel.capsule.kernel_text
    return rewritten(kernel.capsule, STYLES[number % len(STYLES)], number % (2 * len(STYLES)))


def report(rows: list[Row]) -> int:
    """Prints what came out; 0 if every trial of a kernel with a workload was found correct."""
    tried = [row for row in rows if row["prepared"]]
    wrong = [row for row in tried if row["verdict"] not in _CORRECT]
    kernels = {row["kernel"] for row in tried}
    aside = {row["kernel"]: row for row in rows if not row["prepared"]}
    print(f"{len(kernels)} kernels, {len(tried)} judgements of a kernel beside itself")
    for form, count in sorted(Counter(row["form"] for row in tried).items()):
        bad = sum(row["form"] == form for row in wrong)
        print(f"  {form:10} {count:6} judged, {bad} not found correct")
    for row in wrong:
        print(f"  WRONG {row['kernel']} {row['form']} {row['time']}: {row['verdict']}: "
              f"{row['reason']} (seeds {row['seeds']})")  # fmt: skip
    for label, row in aside.items():
        print(f"  no judgement possible: {label}: {row['verdict']}: {row['reason']}")
    return 1 if wrong or not tried else 0


_CORRECT = frozenset({"faster", "same", "slower", "inconclusive"})


if __name__ == "__main__":
    main()
