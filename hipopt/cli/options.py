"""Command-line options that are settings: one table, so that an option reads alike everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hipopt import settings as settings_module
from hipopt.broker.url import masked
from hipopt.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)
_HELP: dict[str, tuple[Any, str]] = {
    "log": (_PATH, "The append-only result log (JSON Lines)."),
    "broker_url": (str, "Redis of this run: redis://, rediss:// or redis+socket://."),
    "namespace": (str, "Prefix of the queues, so that several runs can share a Redis."),
    "shards": (int, "Number of contiguous ID ranges to cut the manifest into."),
    "device": (
        click.Choice(["auto", "cpu", "amd", "nvidia"]),
        "Where kernels are judged (default: auto).",
    ),
    "arch": (str, "Only GPUs of this arch judge, e.g. gfx942."),
    "concurrency": (int, "Kernels in work at once on this node (default: by its cores)."),
    "cache_dir": (_PATH, "Where compiled code objects are kept."),
    "slots_dir": (_PATH, "Where this node's workers agree on who has which core."),
    "model": (str, "The model to ask."),
    "base_url": (str, "The OpenAI-compatible endpoint; the key comes from OPENAI_API_KEY."),
    "temperature": (float, "Sampling temperature."),
    "max_tokens": (int, "Most tokens of one reply."),
    "replay": (_PATH, "Recorded replies to use instead of a model (JSON Lines)."),
    "candidates": (_PATH, "Candidates to judge instead of asking a model (JSON Lines)."),
    "target_arch": (
        str,
        "The architecture that the prompt names (default: of the GPUs that judge).",
    ),
    "attempts": (int, "Most attempts a kernel."),
    "stop_at_speedup": (float, "A candidate this much faster ends a kernel's attempts."),
    "check_timeout_s": (float, "Longest judging of one attempt, in seconds."),
    "launch_timeout_s": (float, "Longest single launch, in seconds (CPU device: of CPU time)."),
    "min_speedup": (float, "Least speedup that counts as faster."),
    "allow_unsandboxed": (bool, "Judge also where the machine offers no sandbox for candidates."),
}
_ALIASES = {"broker_url": "--broker"}

BROKER = ("broker_url", "namespace")
MODEL = ("model", "base_url", "temperature", "max_tokens", "replay", "candidates", "target_arch")
JUDGING = (
    "device", "arch", "cache_dir", "slots_dir", "attempts", "stop_at_speedup", "check_timeout_s",
    "launch_timeout_s", "min_speedup", "allow_unsandboxed",
)  # fmt: skip


def with_settings(*names: str) -> Callable[[Command], Command]:
    """A decorator that gives a command the named settings as options, and `--config`."""

    def decorate(command: Command) -> Command:
        for name in reversed(names):
            kind, text = _HELP[name]
            flags = [f"--{name.replace('_', '-')}", name]
            if name in _ALIASES:
                flags.insert(0, _ALIASES[name])
            how: dict[str, Any] = {"is_flag": True, "default": None} if kind is bool else {}
            command = click.option(*flags, type=kind, help=text, **how)(command)
        config = click.option(
            "--config", type=_PATH, help="Settings file (default: hipopt.toml, where there is one)."
        )
        return config(command)

    return decorate


def with_manifest(command: Command) -> Command:
    """A decorator that gives a command the manifest as its argument."""
    return click.argument("manifest", type=_PATH, required=False)(command)


def load_settings(options: dict[str, Any]) -> Settings:
    """The settings in force for a command called with `options`.

    Raises:
        UsageError: naming the option, variable or key that is wrong.
    """
    config = options.pop("config", None)
    url = options.get("broker_url")
    if url is not None and masked(url) != url:
        click.echo(
            "hipopt: every user of this machine can see a password on a command line (ps): put "
            "the URL into HIPOPT_BROKER_URL or hipopt.toml",
            err=True,
        )
    return settings_module.load(options, file=config)
