"""Candidates of all sorts: recorded replies, mutants, exhibits of the museum of exploits."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence

from benchmarks.kernels import EXAMPLES, Kernel
from benchmarks.sampling import sample
from hipopt.llm.reply import Candidate as Reply
from hipopt.llm.reply import parse_reply
from hipopt.records import Record
from hipopt.source.slice import slice_kernel


class Candidate(Record, frozen=True, kw_only=True):
    """A kernel, and code that is to take its place."""

    kernel: Kernel
    origin: str
    """Unique: `reply 101/2`, `mutant <key>`, `exploit <kind>`, `honest <kind>`."""
    code: str


def replies(kernels: Sequence[Kernel]) -> Iterator[Candidate]:
    """What the recorded replies for these of the bundled kernels propose."""
    by_id = {kernel.label.split("/")[1]: kernel for kernel in kernels if kernel.is_bundled}
    for line in (EXAMPLES / "replies.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        kernel = by_id.get(str(row["id"]))
        reply = parse_reply(row["reply"], kernel.capsule.kernel) if kernel else None
        if kernel and isinstance(reply, Reply):
            origin = f"reply {row['id']}/{row['attempt']}"
            yield Candidate(kernel=kernel, origin=origin, code=reply.code)


def mutated(kernels: Sequence[Kernel], count: int, seed: int) -> Iterator[Candidate]:
    """`count` mutants of the kernels."""
    by_label = {kernel.label: kernel for kernel in kernels}
    texts = {label: kernel.capsule.kernel_text for label, kernel in by_label.items()}
    for label, mutant in sample(texts, count, seed):
        key = mutant.describe(texts[label])["key"]
        yield Candidate(
            kernel=by_label[label], origin=f"mutant {key}", code=mutant.applied(texts[label])
        )


def exhibits() -> Iterator[Candidate]:
    """The exploits and their honest twins, where the tests are at hand."""
    if importlib.util.find_spec("tests.exploits") is None:
        return
    museum = importlib.import_module("tests.exploits.museum")
    for kind in museum.kinds():
        exhibit = museum.load(kind)
        for sort, code in (("exploit", exhibit.exploit), ("honest", exhibit.honest)):
            fair = sort == "honest"
            kernel = Kernel(
                label=f"museum/{kind}/{sort}",
                capsule=slice_kernel(exhibit.original(fair=fair), exhibit.kernel),
                workloads=exhibit.launches(fair=fair),
            )
            yield Candidate(kernel=kernel, origin=f"{sort} {kind}", code=code)
