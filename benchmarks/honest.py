"""Proof that no honest candidate is refused by chance.

Every candidate that is known to be right (recorded replies that are expected to be correct, the
honest twins in the museum of exploits, the original itself, and the original compiled with leave to
sum in another order, where the compiler is GCC) is compared with its original over and
over, each time on the data of fresh secret seeds: all that a judgement does but its timing, which
would take most of the time and compares no otherwise. One refusal is an error of the judge. It is
printed with the seeds that show it again (`hipopt evaluate --seed`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.candidates import Candidate, exhibits, replies
from benchmarks.kernels import (
    EXAMPLES,
    Kernel,
    add_choice,
    chosen,
    judge,
    load_cut,
    prepared,
)  # fmt: skip
from benchmarks.pool import Row, Table, spread
from hipopt.device.interface import CompileFailure
from hipopt.judge.build import Builds, build
from hipopt.judge.check import Check
from hipopt.judge.objection import Objection
from hipopt.judge.options import JudgeOptions, Prepared
from hipopt.judge.references import References
from hipopt.judge.screen import Screen
from hipopt.judge.seeds import fresh_seeds
from hipopt.records import Judgement, Record, Verdict
from hipopt.source.splice import SpliceFailure, splice

OPTIONS = JudgeOptions()
SEEDS = 8
"""Of one judgement: a timed one draws that many and more."""


REORDERED = """#pragma GCC push_options
#pragma GCC optimize ("O3,associative-math,no-signed-zeros,no-trapping-math")
{}
#pragma GCC pop_options
"""
"""Sums of one thread in another order, in vectors where it can be. No rule of candidates' is looked
at here, or it would be refused; compilers other than GCC leave it as it is."""


class Job(Record, frozen=True, kw_only=True):
    """Some judgements of one candidate."""

    candidate: Candidate
    times: range


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_choice(parser)
    parser.add_argument("--times", type=int, default=12, help="how often each is judged")
    parser.add_argument("--processes", type=int, help="by default one a core")
    parser.add_argument("-o", "--output", type=Path, help="table of judgements (JSON Lines)")
    options = parser.parse_args()
    table = Table(options.output, lambda row: (row["origin"], row["time"]))
    started = time.monotonic()
    jobs = [
        Job(candidate=candidate, times=range(options.times))
        for candidate in honest(load_cut(chosen(options)), museum=not options.only)
        if any({"origin": candidate.origin, "time": t} not in table for t in range(options.times))
    ]
    for row in spread(judgements, jobs, options.processes):
        table.add(row)
    sys.exit(report(table.rows, time.monotonic() - started))


def honest(kernels: list[Kernel], *, museum: bool) -> Iterator[Candidate]:
    """All candidates that are right."""
    for kernel in kernels:
        text = kernel.capsule.kernel_text
        yield Candidate(kernel=kernel, origin=f"itself {kernel.label}", code=text)
        reordered = REORDERED.format(text)
        yield Candidate(kernel=kernel, origin=f"reordered {kernel.label}", code=reordered)
    right = _expected_correct()
    yield from (reply for reply in replies(kernels) if reply.origin in right)
    if museum:
        yield from (twin for twin in exhibits() if twin.origin.startswith("honest "))


def _expected_correct() -> frozenset[str]:
    """The origins of the recorded replies that are meant to be found correct."""
    rows = map(json.loads, (EXAMPLES / "replies.jsonl").read_text(encoding="utf-8").splitlines())
    correct = {"correct", *(verdict.value for verdict in Verdict if verdict.correct)}
    return frozenset(f"reply {r['id']}/{r['attempt']}" for r in rows if r["expect"] in correct)


def judgements(job: Job) -> list[Row]:
    """One row for each judgement of the job."""
    ready = prepared(job.candidate.kernel, OPTIONS)
    found = ready if isinstance(ready, Judgement) else _built(ready, job.candidate.code)
    rows = []
    for number in job.times:
        seeds = fresh_seeds(SEEDS)
        if isinstance(found, Builds):
            assert isinstance(ready, Prepared)
            refusal = _refusal(ready, found, seeds, closely=number == job.times.start)
        else:
            refusal = Objection(found.verdict, found.reason)
        rows.append(_row(job.candidate, number, seeds, refusal))
        if not isinstance(found, Builds):
            break
    return rows


def _built(ready: Prepared, code: str) -> Builds | Judgement:
    """The candidate compiled, or why it can't be."""
    candidate = splice(ready.reference, code)
    if isinstance(candidate, SpliceFailure):
        return Judgement(verdict=Verdict.REJECTED, reason=candidate.reason)
    here = judge(OPTIONS)
    built = build(
        candidate, ready.codes, here.device, here.microscope, OPTIONS.compile_timeout_s,
        instrument=bool(ready.instrumented),
    )  # fmt: skip
    if isinstance(built, CompileFailure):
        return Judgement(verdict=built.verdict, reason=built.output)
    return built


def _refusal(
    ready: Prepared, builds: Builds, seeds: tuple[int, ...], *, closely: bool
) -> Objection | None:
    """What the judge has against the candidate on the seeds' data; None: nothing.

    Args:
        ready: the original.
        builds: the candidate.
        seeds: of the data.
        closely: whether the instrumented build is looked at, too.
    """
    here = judge(OPTIONS)
    microscope = here.microscope if ready.plain and builds.plain else None
    with ExitStack() as stack:
        references = stack.enter_context(
            References(here.device.open, ready.codes, ready, OPTIONS.launch_timeout_s)
        )
        known = references if microscope else None
        try:
            if microscope:
                screen = Screen(microscope, OPTIONS, ready, references, seeds, decides=True)
                if closely and builds.instrumented:
                    screen.observe(builds.instrumented)
                screen.run_in_orders(builds.plain)
            Check(here.device, OPTIONS, ready, references, known, seeds).run(builds.device)
        except Objection as objection:
            return objection
    return None


def _row(
    candidate: Candidate, number: int, seeds: tuple[int, ...], refusal: Objection | None
) -> Row:
    return {
        "kernel": candidate.kernel.label,
        "origin": candidate.origin,
        "time": number,
        "seeds": list(seeds),
        "verdict": refusal.verdict.value if refusal else None,
        "reason": refusal.reason if refusal else None,
    }


def report(rows: list[Row], spent_s: float) -> int:
    """Prints the refusals; 0 if there are none."""
    refused = [row for row in rows if row["verdict"] is not None]
    origins = len({row["origin"] for row in rows})
    print(
        f"{len(rows)} judgements of {origins} honest candidates, {SEEDS + 1} seeds each, "
        f"in {spent_s:.0f} s: {len(refused)} refused"
    )
    times = Counter(row["origin"] for row in rows)
    for origin, count in Counter(row["origin"] for row in refused).most_common():
        first = next(row for row in refused if row["origin"] == origin)
        print(f"  {origin} ({first['kernel']}): {count} of {times[origin]}")
        print(f"    {first['verdict']}: {first['reason']}")
        print(f"    --seed {','.join(map(str, first['seeds']))}")
    return 1 if refused else 0


if __name__ == "__main__":
    main()
