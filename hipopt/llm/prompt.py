"""The conversation: what the model is told, at first and after earlier attempts.

Every attempt sends one system and one user message. What came before is told anew and condensed at
the end of the user message, instead of growing a chat: the size stays bounded, chat templates that
want roles to alternate are served, and the part that does not change comes first, where endpoints
cache prompts by prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from string import Template

from hipopt.llm.architectures import describe_architecture
from hipopt.llm.feedback import MAX_HISTORY_CHARS, describe_rounds
from hipopt.llm.interface import Message
from hipopt.llm.rounds import Round
from hipopt.records import Argument, Buffer, Workload
from hipopt.source.capsule import Capsule

MAX_WORKLOADS = 8


def messages_for(
    reference: Capsule,
    workloads: Sequence[Workload],
    arch: str,
    rounds: Sequence[Round] = (),
    max_history_chars: int = MAX_HISTORY_CHARS,
) -> tuple[Message, Message]:
    """The messages of the next attempt, after `rounds`."""
    task = _template("task.md").substitute(
        architecture=describe_architecture(arch),
        kernel=reference.kernel,
        source=reference.source.strip("\n"),
        workloads=describe_workloads(workloads),
    )
    history = describe_rounds(rounds, max_history_chars)
    return (
        Message(role="system", content=_template("system.md").substitute()),
        Message(role="user", content=f"{task}\n{history}" if history else task),
    )


def describe_workloads(workloads: Sequence[Workload]) -> str:
    """The launch shapes as a list in Markdown."""
    lines = [_workload(i, w) for i, w in enumerate(workloads[:MAX_WORKLOADS])]
    return "\n".join(lines) or "- not known"


def _workload(index: int, workload: Workload) -> str:
    shape = f"grid {_dim3(workload.grid)}, block {_dim3(workload.block)}"
    template = f", template arguments <{', '.join(workload.template)}>" if workload.template else ""
    args = "; ".join(_argument(a) for a in workload.args)
    return (
        f"- workload {index}: {shape}, dynamic LDS {workload.lds_bytes} bytes{template}\n  {args}"
    )


def _dim3(size: tuple[int, int, int]) -> str:
    return f"({size[0]}, {size[1]}, {size[2]})"


def _argument(argument: Argument) -> str:
    if isinstance(argument, Buffer):
        return f"`{argument.name}`: {argument.buffer}[{argument.length}]"
    return f"`{argument.name}`: {argument.scalar} = {argument.value}"


@cache
def _template(name: str) -> Template:
    return Template((files("hipopt.llm") / "templates" / name).read_text(encoding="utf-8"))
