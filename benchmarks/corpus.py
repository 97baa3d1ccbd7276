"""Other people's kernels as a manifest to try proofs on.

Takes folders of HIP or CUDA sources, keeps the kernels whose parameters are all scalars and
pointers to them, and writes them as a manifest. Then, unless told otherwise, compiles each on the
device and says why those that don't compile don't.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.kernels import Kernel, KernelChoice, Uncut, judge, load
from benchmarks.pool import Row, spread
from hipopt.device.interface import CompileFailure
from hipopt.errors import SourceError
from hipopt.extract import extract
from hipopt.judge.build import first_error
from hipopt.judge.options import JudgeOptions
from hipopt.manifest import read_source
from hipopt.source.slice import slice_kernel

SHOWN = 25
"""Reasons printed of each sort, the most frequent first."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="folders with HIP or CUDA sources")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the manifest to write")
    parser.add_argument("--no-compile", action="store_true", help="write the manifest only")
    options = parser.parse_args()
    warnings: list[str] = []
    found = list(extract(options.folders, relative_to=options.output.parent, warnings=warnings))
    every = list(unique(found))
    kept, aside = plain(every, options.output.parent)
    options.output.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(f"{len(found)} kernels, {len(every)} of them different; {len(kept)} take only scalars "
          f"and pointers, and stand in {options.output}")  # fmt: skip
    print_reasons("left aside", [*aside, *(warning.partition(": ")[2] for warning in warnings)])
    if not options.no_compile:
        compile_all(options.output)


def unique(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows without those whose kernel stood in another file already, word for word."""
    seen = set()
    for row in rows:
        text = " ".join(row["code_body"].split())
        if (row["name"], text) not in seen:
            seen.add((row["name"], text))
            yield row


def plain(rows: Iterable[dict[str, Any]], folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows whose kernel takes only scalars and pointers to them; why the others are left."""
    kept, reasons = [], []
    for row in rows:
        source = read_source(folder, row["hip_file"])
        try:
            capsule = slice_kernel(source, row["name"], code_body=row["code_body"])
        except SourceError as error:
            reasons.append(f"can't be cut: {error}")
            continue
        types = {p.type_text for p in capsule.parameters if p.dtype is None}
        dependent = {_name(t) for t in capsule.template_parameters}
        odd = [t for t in types if dependent.isdisjoint(re.findall(r"\w+", t)) or "<" in t]
        if not capsule.parameters:
            reasons.append("takes no arguments")
        elif odd:
            reasons.append(f"takes a '{min(odd)}'")
        else:
            kept.append(row)
    return kept, reasons


def _name(template_parameter: str) -> str:
    """`T` of `typename T`."""
    words: list[str] = re.findall(r"\w+", template_parameter)
    return words[-1] if words else ""


def compile_all(manifest: Path) -> None:
    """Prints how many of the manifest's kernels compile, and why the others don't."""
    rows = list(spread(compiled, list(load(KernelChoice(manifests=(manifest,))))))
    reasons = [row["reason"] for row in rows if row["reason"]]
    templates = sum(row["template"] for row in rows)
    print(f"{len(rows) - len(reasons) - templates} of {len(rows)} compile; {templates} more are "
          "templates, which compile only with arguments")  # fmt: skip
    print_reasons("not compiled", reasons)


def compiled(kernel: Kernel | Uncut) -> list[Row]:
    """Whether the kernel compiles; a template is only told apart."""
    row = {"label": kernel.label, "template": False, "reason": ""}
    if isinstance(kernel, Uncut):
        return [row | {"reason": kernel.reason}]
    if kernel.capsule.template_parameters:
        return [row | {"template": True}]
    options = JudgeOptions()
    code = judge(options).device.compile(kernel.capsule, (), options.compile_timeout_s)
    if isinstance(code, CompileFailure):
        row["reason"] = f"{first_error(code.output)} [{kernel.label}]"
    return [row]


def print_reasons(what: str, reasons: list[str]) -> None:
    """The reasons by how often they were given, with one whole example of each."""
    groups = Counter(map(_without_place, reasons))
    examples = {_without_place(reason): reason for reason in reversed(reasons)}
    for group, count in groups.most_common(SHOWN):
        print(f"  {what}: {count:4}  {examples[group]}")
    rest = sum(groups.values()) - sum(count for _, count in groups.most_common(SHOWN))
    if rest:
        print(f"  {what}: {rest:4}  for {len(groups) - SHOWN} other reasons")


def _without_place(reason: str) -> str:
    """The reason without line numbers and labels, so that the same ones are counted together."""
    return re.sub(r"\d+", "#", re.sub(r"\[\S+/\S+\]$", "", reason))


if __name__ == "__main__":
    main()
