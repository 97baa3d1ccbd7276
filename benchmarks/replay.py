"""Proof that a verdict can be repeated from its record.

Recorded replies, mutants and the exhibits of the museum are judged once, with fresh secret seeds,
and then again in fresh processes from the seeds and workloads that their records hold. A negative
verdict must come out the same, and so must "correct". Whether a correct candidate is found faster,
the same or slower is measured anew, so it may differ; how often it did is told apart.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec

from benchmarks.candidates import Candidate, exhibits, mutated, replies
from benchmarks.kernels import Kernel, add_choice, chosen, judge_prepared, load_cut, prepared
from benchmarks.pool import Row, Table, spread
from hipopt.judge.options import JudgeOptions
from hipopt.records import Judgement, Record, Verdict, Workload

CANDIDATES_A_JOB = 4
OPTIONS = JudgeOptions(launch_timeout_s=4.0)
"""Patience of 4 s: some candidates never end."""


class Turn(Record, frozen=True, kw_only=True):
    """One candidate to be judged: for the first time, or from the record of the first time."""

    candidate: Candidate
    recorded: Row | None


Job = tuple[Turn, ...]
"""Candidates for one kernel."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_choice(parser)
    parser.add_argument("--mutants", type=int, default=120, help="how many mutants to judge")
    parser.add_argument("--seed", type=int, default=2, help="of the choice among all mutants")
    parser.add_argument("-o", "--output", type=Path, help="table of verdicts (JSON Lines); resumed")
    options = parser.parse_args()
    kernels = load_cut(chosen(options))
    candidates = [*replies(kernels), *mutated(kernels, options.mutants, options.seed)]
    if not options.only:
        candidates += exhibits()
    table = Table(options.output, lambda row: (row["origin"], row["replayed"]))
    first = [Turn(candidate=candidate, recorded=None) for candidate in candidates]
    judge_all(first, table)
    judge_all([_again(turn.candidate, table) for turn in first], table)
    pairs = [
        (table[_named(c, replayed=False)], table[_named(c, replayed=True)]) for c in candidates
    ]
    sys.exit(report(pairs))


def _again(candidate: Candidate, table: Table) -> Turn:
    return Turn(candidate=candidate, recorded=table[_named(candidate, replayed=False)])


def _named(candidate: Candidate, *, replayed: bool) -> Row:
    return {"origin": candidate.origin, "replayed": replayed}


def judge_all(turns: Iterable[Turn], table: Table) -> None:
    """A row in the table for every turn; those that are there already are left as they are."""
    by_kernel: dict[str, list[Turn]] = defaultdict(list)
    for turn in turns:
        if _named(turn.candidate, replayed=turn.recorded is not None) not in table:
            by_kernel[turn.candidate.kernel.label].append(turn)
    jobs = [
        tuple(of_one[first : first + CANDIDATES_A_JOB])
        for of_one in by_kernel.values()
        for first in range(0, len(of_one), CANDIDATES_A_JOB)
    ]
    for row in spread(verdicts, jobs):
        table.add(row)


def verdicts(job: Job) -> list[Row]:
    """One row for each candidate of the job: its name, and the record of its verdict."""
    rows = []
    for turn in job:
        judgement = _judged(turn)
        named = _named(turn.candidate, replayed=turn.recorded is not None)
        record = json.loads(json.dumps(judgement.to_json()))
        rows.append({"kernel": turn.candidate.kernel.label, **named, "judgement": record})
    return rows


def _judged(turn: Turn) -> Judgement:
    kernel, seeds = turn.candidate.kernel, None
    if turn.recorded is not None:
        kernel, seeds = _as_recorded(kernel, turn.recorded["judgement"])
    ready = prepared(kernel, OPTIONS)
    if isinstance(ready, Judgement):
        return ready
    return judge_prepared(ready, turn.candidate.code, OPTIONS, seeds)


def _as_recorded(kernel: Kernel, record: Row) -> tuple[Kernel, tuple[int, ...] | None]:
    """The kernel with the workloads of the record, and its seeds, where it came to that."""
    workloads = tuple(Workload.from_json(raw) for raw in record["workloads"])
    if not workloads:
        return kernel, None
    label = f"{kernel.label} on recorded workloads"
    return msgspec.structs.replace(kernel, label=label, workloads=workloads), tuple(record["seeds"])


def report(pairs: list[tuple[Row, Row]]) -> int:
    """Prints what came out; 0 if every verdict came out the same but for what time measures."""
    different = [pair for pair in pairs if _kind(pair[0]) != _kind(pair[1])]
    correct = [pair for pair in pairs if _kind(pair[0]) == _kind(pair[1]) == "correct"]
    timed = Counter((_verdict(a), _verdict(b)) for a, b in correct if _verdict(a) != _verdict(b))
    print(
        f"{len(pairs)} verdicts, replayed from their records: {len(different)} came out otherwise"
    )
    for kind, count in sorted(Counter(_kind(first) for first, _ in pairs).items()):
        print(f"  {kind:16} {count:5}")
    shown = [(a["judgement"]["mismatch"], b["judgement"]["mismatch"]) for a, b in pairs]
    mismatches = [(was, again) for was, again in shown if was is not None]
    same = sum(was == again for was, again in mismatches)
    print(f"{same} of {len(mismatches)} mismatches show the same buffer, index, values and seed")
    print(
        f"{len(correct)} found correct both times; of these {sum(timed.values())} timed otherwise"
    )
    for (before, after), count in sorted(timed.items()):
        print(f"  {before} then {after}: {count}")
    for first, again in different:
        print(f"  DIFFERENT {first['origin']} ({first['kernel']}):")
        for row in (first, again):
            print(f"    {_verdict(row)}: {row['judgement']['reason']}")
    return 1 if different else 0


def _verdict(row: Row) -> str:
    return str(row["judgement"]["verdict"])


def _kind(row: Row) -> str:
    """Its verdict, with no regard to time."""
    return "correct" if Verdict(_verdict(row)).correct else _verdict(row)


if __name__ == "__main__":
    main()
