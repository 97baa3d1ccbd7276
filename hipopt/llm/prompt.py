"""What the model is asked: the task, the rules, the target, the kernel, and what came before."""

from __future__ import annotations

from collections.abc import Sequence

from hipopt.llm.interface import Message
from hipopt.records import Buffer, Record, Resources, Workload
from hipopt.source.capsule import Capsule

OLDER_CODE_CHARS = 6_000
"""Code of an attempt that is neither the latest nor the best is cut to this."""
COMPILER_CHARS = 4_000

SYSTEM = """\
You are an expert in optimising HIP kernels for AMD GPUs. You are given one kernel and rewrite it \
to run faster while computing exactly the same. Your answer is compiled, checked against the \
original on fresh random data, and timed beside it.

Rules
- Keep the kernel's name, parameters (types and order) and template parameters. It is launched \
with the same grid, block and dynamic LDS as the original.
- Results must agree with the original for every input and every size, also where the size is \
no multiple of the block or the wave. Write no element that the original does not write; leave \
inputs untouched.
- Device code only: the kernel, and `__device__` helpers, macros, constants and types that it \
needs. No host code, no launches, no main, no torch, no library calls, no new includes beyond \
HIP's own, no global variables that change, no inline assembly that includes files.
- No undefined behaviour, no race, no access outside the buffers, no dependence on the order of \
threads or on what an output buffer held before.

Answer with exactly two fenced blocks: first your reasoning, short, then the complete code.

```thinking
what limits the kernel, and what you change
```

```hip
the complete kernel with all helpers that it needs
```
"""

_ARCHITECTURES = {
    "gfx90a": "MI200 series (CDNA 2): waves of 64, 64 KB LDS a compute unit, 512 VGPRs a lane "
    "shared with AGPRs, HBM2e",
    "gfx942": "MI300 series (CDNA 3): waves of 64, 64 KB LDS a compute unit, 512 VGPRs a lane "
    "shared with AGPRs, 256 MB Infinity Cache, HBM3",
    "gfx950": "MI350 series (CDNA 4): waves of 64, 160 KB LDS a compute unit, 512 VGPRs a lane "
    "shared with AGPRs, 256 MB Infinity Cache, HBM3E",
    "gfx1100": "RX 7900 series (RDNA 3): waves of 32 by default, 128 KB LDS a work-group processor "
    "(64 KB a block), 96 MB Infinity Cache, GDDR6",
}


class Earlier(Record, frozen=True, kw_only=True):
    """An earlier attempt as the next prompt tells it."""

    number: int
    outcome: str
    reason: str
    code: str | None = None
    """None: the reply held none."""
    compiler_output: str | None = None
    speedup: float | None = None
    resources: Resources | None = None


def build_messages(
    capsule: Capsule,
    workloads: Sequence[Workload],
    target_arch: str,
    earlier: Sequence[Earlier] = (),
) -> list[Message]:
    """The conversation for the next attempt: always one system and one user message.

    What came of earlier attempts is told anew each time instead of growing a chat: the latest and
    the best in full, others shortened, so that the prompt stays bounded.
    """
    parts = [
        _target(target_arch),
        f"The kernel `{capsule.kernel}` in its context:\n\n```cpp\n{capsule.source.strip()}\n```",
        _launches(workloads),
        *_history(earlier),
        _request(earlier),
    ]
    return [
        Message(role="system", content=SYSTEM),
        Message(role="user", content="\n\n".join(part for part in parts if part)),
    ]


def _target(arch: str) -> str:
    known = _ARCHITECTURES.get(arch)
    return f"Target: {arch}" + (f", {known}." if known else ".")


def _launches(workloads: Sequence[Workload]) -> str:
    if not workloads:
        return ""
    lines = ["It is launched like this (sizes vary):"]
    lines += [f"- {_launch(workload)}" for workload in workloads]
    return "\n".join(lines)


def _launch(workload: Workload) -> str:
    args = ", ".join(
        f"{a.name}: {a.buffer}[{a.length}]" if isinstance(a, Buffer) else f"{a.name} = {a.value}"
        for a in workload.args
    )
    template = f", template arguments <{', '.join(workload.template)}>" if workload.template else ""
    lds = f", {workload.lds_bytes} bytes of dynamic LDS" if workload.lds_bytes else ""
    return f"grid {workload.grid}, block {workload.block}{lds}{template}; {args}"


def _history(earlier: Sequence[Earlier]) -> list[str]:
    if not earlier:
        return []
    best = _best(earlier)
    told = ["What came of earlier attempts:"]
    told += [_tell(attempt, whole=attempt in (earlier[-1], best)) for attempt in earlier]
    if best is not None:
        told.append(f"Best so far: attempt {best.number}, {best.speedup:.2f}x.")
    return told


def _best(earlier: Sequence[Earlier]) -> Earlier | None:
    timed = [attempt for attempt in earlier if attempt.speedup is not None]
    return max(timed, key=lambda attempt: attempt.speedup or 0.0, default=None)


def _tell(attempt: Earlier, *, whole: bool) -> str:
    lines = [f"Attempt {attempt.number}: {attempt.outcome}. {attempt.reason}"]
    if attempt.compiler_output:
        lines.append(f"```\n{attempt.compiler_output[:COMPILER_CHARS].strip()}\n```")
    if attempt.resources is not None:
        lines.append(_used(attempt.resources))
    if attempt.code is not None:
        code = attempt.code if whole else _shortened(attempt.code)
        lines.append(f"Its code:\n```cpp\n{code.strip()}\n```")
    return "\n".join(line for line in lines if line)


def _shortened(code: str) -> str:
    if len(code) <= OLDER_CODE_CHARS:
        return code
    return code[:OLDER_CODE_CHARS] + "\n// ... shortened"


def _used(resources: Resources) -> str:
    known = {name: value for name, value in resources.to_json().items() if value is not None}
    listed = ", ".join(f"{name} {value}" for name, value in known.items())
    return f"Resources: {listed}." if listed else ""


def _request(earlier: Sequence[Earlier]) -> str:
    if not earlier:
        return "Rewrite the kernel to run faster."
    if earlier[-1].speedup is None:
        return "Mend what was wrong, and make it faster than the original."
    return "Make it faster still, or try another way."
