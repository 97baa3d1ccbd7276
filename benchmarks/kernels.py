"""The kernels that a proof is tried on, and how each of its processes judges them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from hipopt.devices import open_device
from hipopt.errors import SourceError
from hipopt.judge.judge import Judge
from hipopt.judge.options import JudgeOptions, Prepared
from hipopt.manifest import Manifest
from hipopt.records import Judgement, KernelTask, Record, Verdict, Workload
from hipopt.settings import load as load_settings
from hipopt.source.capsule import Capsule
from hipopt.source.slice import slice_kernel
from hipopt.source.splice import SpliceFailure, splice

EXAMPLES = Path(__file__).parent.parent / "examples"
BUNDLED = EXAMPLES / "manifest.json"

SHORT_S = 0.1
"""As the time for timing: a proof of correctness does without the figure, but not without the
checks that go with it."""


class Kernel(Record, frozen=True, kw_only=True):
    """One kernel of a manifest, cut out."""

    label: str
    """Unique in a run: `bundled/101/relu_kernel`, `<manifest's name>/<id>/<kernel>`."""
    capsule: Capsule
    workloads: tuple[Workload, ...]
    """Empty: the judge finds them."""

    @property
    def is_bundled(self) -> bool:
        """Whether it is one of the examples."""
        return self.label.startswith("bundled/")


class Uncut(Record, frozen=True, kw_only=True):
    """A manifest row whose kernel can't be cut out."""

    label: str
    reason: str


class KernelChoice(Record, frozen=True, kw_only=True):
    """Which kernels a proof takes."""

    manifests: tuple[Path, ...]
    names: frozenset[str] = frozenset()
    """Kernels' names or labels; empty: all."""
    find_workloads: bool = False
    """True: the manifests' workloads are left aside, so that the judge has to find them."""


def add_choice(parser: argparse.ArgumentParser) -> None:
    """The options that `chosen` reads."""
    parser.add_argument("manifests", nargs="*", type=Path, help="more manifests")
    parser.add_argument("--no-bundled", action="store_true", help="leave the bundled kernels out")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="these kernels")
    parser.add_argument(
        "--find-workloads", action="store_true", help="as if no manifest held workloads"
    )


def chosen(options: argparse.Namespace) -> KernelChoice:
    """The kernels that the command line names."""
    bundled = () if options.no_bundled else (BUNDLED,)
    return KernelChoice(
        manifests=(*bundled, *options.manifests),
        names=frozenset(options.only),
        find_workloads=options.find_workloads,
    )


def load(choice: KernelChoice) -> Iterator[Kernel | Uncut]:
    """The kernels chosen, in the manifests' order."""
    for path in choice.manifests:
        for task in Manifest(path).tasks():
            source = "bundled" if path == BUNDLED else path.stem
            label = f"{source}/{task.id}/{task.name}"
            if not choice.names or not choice.names.isdisjoint((label, task.name)):
                yield _cut(label, task, find_workloads=choice.find_workloads)


def load_cut(choice: KernelChoice) -> list[Kernel]:
    """The kernels chosen; those that can't be cut out are printed and left aside."""
    kernels = []
    for kernel in load(choice):
        if isinstance(kernel, Kernel):
            kernels.append(kernel)
        else:
            print(f"left aside: {kernel.label}: {kernel.reason}")
    return kernels


def _cut(label: str, task: KernelTask, *, find_workloads: bool) -> Kernel | Uncut:
    try:
        capsule = slice_kernel(task.hip_source, task.name, code_body=task.code_body)
    except SourceError as error:
        return Uncut(label=label, reason=str(error))
    workloads = () if find_workloads else task.workloads
    return Kernel(label=label, capsule=capsule, workloads=workloads)


def judge_prepared(
    ready: Prepared, code: str, options: JudgeOptions, seeds: tuple[int, ...] | None = None
) -> Judgement:
    """The verdict on `code` beside a kernel that was prepared."""
    candidate = splice(ready.reference, code)
    if isinstance(candidate, SpliceFailure):
        return Judgement(verdict=Verdict.REJECTED, reason=candidate.reason)
    return judge(options).judge(ready, candidate, seeds)


@lru_cache(maxsize=64)
def judge(options: JudgeOptions) -> Judge:
    """The judge of this process, on the device of the settings."""
    return Judge(open_device(load_settings()), options)


_PREPARED: dict[tuple[str, JudgeOptions], Prepared | Judgement] = {}


def prepared(kernel: Kernel, options: JudgeOptions) -> Prepared | Judgement:
    """The kernel with its workloads qualified, or why no candidate for it can be judged."""
    key = (kernel.label, options)
    if key not in _PREPARED:
        _PREPARED[key] = judge(options).prepare(kernel.capsule, kernel.workloads)
    return _PREPARED[key]
